"""One pass over the edited tensors: each is read once, and what is recorded and measured is what the slow way gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from layer_cases import by_definition, edit, many, solution

from editc import api
from editc.cache.disk import DiskCache
from editc.core.delta import Array, Factors
from editc.core.site_bytes import site_record
from editc.formats.models.model import Checkpoint
from editc.numerics import ridge, squares, subspace
from editc.numerics.bits.dtypes import sha256
from editc.passes.images.measure import base_figures, start_squares
from editc.passes.images.measure.certificate import LayerSums
from editc.passes.images.measure.measure import measure_sites
from editc.passes.images.measure.records import LEAST_ELEMENTS, Recorder
from editc.passes.images.measure.start_squares import StartSquares
from editc.passes.stored import SiteWeights, round_site


@dataclass
class Kept:
    """A cache in memory."""

    entries: dict[str, Mapping[str, Array]] = field(default_factory=dict)

    def get(self, key: str, names: Iterable[str] = ()) -> Mapping[str, Array] | None:
        return self.entries.get(key)

    def put(self, key: str, arrays: Mapping[str, Array], kind: str = "") -> None:
        self.entries[key] = arrays

    def has(self, key: str) -> bool:
        return key in self.entries


def test_a_build_reads_each_edited_tensor_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control: without room to hold them, tensors are read again."""
    model = tiny.pipeline_folder(tmp_path / "sd1")
    (tmp_path / "m.yaml").write_text(f"editc: 1\nmodel: {model}\nedits: [{{erase: circle, to: square}}]\n")
    found: Counter[str] = Counter()
    read = Checkpoint.stored

    def counting(self: Checkpoint, name: str) -> bytes:
        found[name] += 1
        return read(self, name)

    monkeypatch.setattr(Checkpoint, "stored", counting)
    built = api.build(tmp_path / "m.yaml", tmp_path / "out")
    assert built is not None and built.delta is not None
    names = [record.site.name for record in built.delta.sites]
    assert {name: found[name] for name in names} == dict.fromkeys(names, 1)
    monkeypatch.setattr("editc.passes.stored.HELD", 0)
    found.clear()
    api.build(tmp_path / "m.yaml", tmp_path / "again")
    assert min(found[name] for name in names) > 1
    first, again = ((tmp_path / out / "delta.safetensors").read_bytes() for out in ("out", "again"))
    assert first == again


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_wide_layers_have_the_same_figures(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_figures, "WIDE", 1)
    system = many(0)
    found = solution(system, edit("shared", system), dtype)
    sums = LayerSums(found)
    measured = tuple(measure_sites(found, observe=sums.add))
    assert sums.cross["text"].value().dtype == np.float64
    for one, (drift, empty, errors) in zip(measured, by_definition(found), strict=True):
        assert one.drift == pytest.approx(drift, rel=1e-7) and one.unconditional == pytest.approx(empty, rel=1e-7)
        np.testing.assert_allclose(one.errors, errors, rtol=1e-7)
    monkeypatch.undo()
    exact = LayerSums(found)
    narrow = tuple(measure_sites(found, observe=exact.add))
    assert [one.elements for one in measured] == [one.elements for one in narrow]
    assert [one.change for one in measured] == pytest.approx([one.change for one in narrow], rel=1e-12)
    for ours, theirs in zip(sums.grams("text"), exact.grams("text"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 * np.abs(theirs).max())


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
@pytest.mark.parametrize("form", ["shared", "low-rank", "dense"])
def test_records_are_those_of_emit(form: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the cache, when it is filled, and when it is full."""
    monkeypatch.setattr("editc.passes.images.measure.records.LEAST_ELEMENTS", 1)
    assert LEAST_ELEMENTS > 1
    system = many(3)
    made = edit(form, system)
    found, kept = solution(system, made, dtype), Kept()
    sites = found.problem.plan.sites
    left, right = (tuple(part.astype(np.float32) for part in side) for side in (made.left, made.right))
    factors = Factors(made.form, tuple(range(len(sites))), left, right)
    weights = found.problem.systems["text"].weights
    wanted = {s.name: site_record(s, np.asarray(weights[k]), factors, k) for k, s in enumerate(sites)}
    for cache in (None, kept, kept):
        recorder = Recorder(cache)
        list(measure_sites(found, recorder=recorder))
        assert recorder.records == wanted
    assert len(kept.entries) == 2 * len(sites)
    other = solution(system, replace(made, left=tuple(1.5 * part for part in made.left)), dtype)
    recorder, plain = Recorder(kept), Recorder(None)
    for one in (recorder, plain):
        list(measure_sites(other, recorder=one))
    assert recorder.records == plain.records != wanted, "another edit has other results"


def test_an_edit_that_was_recorded_is_made_in_its_own_dtype_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("editc.passes.images.measure.records.LEAST_ELEMENTS", 1)
    system, made, kept = many(3), list[tuple[str, ...]](), Kept()
    found = solution(system, edit("shared", system), "F16")

    def counting(*asked: Any) -> Any:
        made.append(tuple(asked[4]))
        return round_site(*asked)

    monkeypatch.setattr("editc.passes.images.measure.measure.round_site", counting)
    for _ in range(2):
        list(measure_sites(found, recorder=Recorder(kept)))
    sites = len(found.problem.plan.sites)
    assert made == [("F32", "F16", "BF16")] * sites + [("F16",)] * sites


def test_the_root_of_the_bases_gram_comes_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the same bits and the same layout, on which the last bits of a product depend."""
    monkeypatch.setattr(subspace, "LEAST_OPERATIONS", 1)
    gram, kept = np.cov(np.random.default_rng(2).normal(size=(20, 90))), Kept()
    first, again = (subspace.cached_root(gram, kept) for _ in range(2))
    assert len(kept.entries) == 1 and np.array_equal(first, again) and first.flags.f_contiguous
    assert np.array_equal(subspace.cached_root(gram, None), first) and again.flags.f_contiguous
    np.testing.assert_allclose(first.T @ first, gram, atol=1e-12)


def test_a_reduced_edit_comes_from_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Bit for bit, from the cache on disk too. A control: another tolerance is another edit."""
    monkeypatch.setattr(subspace, "LEAST_OPERATIONS", 1)
    rng = np.random.default_rng(3)
    right, root = rng.normal(size=(30, 40)), subspace.square_root(np.cov(rng.normal(size=(30, 90))))
    factor = ridge.factorise(np.cov(rng.normal(size=(40, 200))))
    asked = right, root, factor
    plain, disk = subspace.cached_reduce(*asked, 0.1, None, None), DiskCache(tmp_path)
    for found in (subspace.cached_reduce(*asked, 0.1, None, disk) for _ in range(2)):
        assert np.array_equal(found.mix, plain.mix) and np.array_equal(found.right, plain.right)
        assert found.discarded == plain.discarded and found.mix.flags.c_contiguous
    monkeypatch.setattr(subspace, "reduce", None)  # what is cached is not computed
    subspace.cached_reduce(*asked, 0.1, None, disk)
    with pytest.raises(TypeError):
        subspace.cached_reduce(*asked, 0.2, None, disk)


def test_figures_of_the_base_come_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control: other weights have other figures."""
    made, kept = many(5), Kept()
    rows = made.preserved.rows @ made.preserved.rows.T

    def figures(scale: float) -> Any:
        class Stored:
            def read(self, name: str) -> Array:
                return np.asarray(scale * np.asarray(made.weights[int(name)]))

        sites = solution(made, edit("shared", made), "F64").problem.plan.sites
        weights = SiteWeights(Stored(), sites)  # type: ignore[arg-type]
        assert weights.site_digest(0) == sha256((scale * np.asarray(made.weights[0])).tobytes())
        return base_figures.base_figures(replace(made, weights=weights, gram=None), [rows], kept)

    first = figures(1.0)
    monkeypatch.setattr(base_figures, "half_gram", None)  # what is cached is not computed
    again = figures(1.0)
    assert np.array_equal(first.gram, again.gram)
    assert np.array_equal(*(one.squares[base_figures.moment_hash(rows)] for one in (first, again)))
    with pytest.raises(TypeError):
        figures(2.0)


@pytest.mark.parametrize("columns", [3, 90])
def test_squares_of_offsets_are_those_of_float64(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where only some directions are formed in float64. What was measured of all layers is cached."""
    monkeypatch.setattr(start_squares, "LEADING", 4)
    rng, kept = np.random.default_rng(7), Kept()
    offsets = [scale[:, None] * rng.normal(size=(40, columns)) for scale in (1 / np.arange(1.0, 41), np.ones(40))]
    layers = [rng.normal(size=(30, 40)).astype(np.float16).astype(np.float64) for _ in range(2)]
    wanted = [[np.linalg.norm(W @ one) ** 2 for one in offsets] for W in layers]
    for cache, weights in ((None, "these"), (kept, "these"), (kept, "these"), (kept, "others")):
        starts = StartSquares.of(offsets, len(layers), weights, cache)
        assert bool(starts.parts) == (cache is None or weights == "others" or not kept.entries)
        found = [starts.at(site, W, W.astype(np.float32)) for site, W in enumerate(layers)]
        np.testing.assert_allclose(found, wanted, rtol=2e-7 if columns > 4 else 1e-14)
    assert len(kept.entries) == 2


@pytest.mark.parametrize("width", [5, 128, 300])
def test_halves_are_multiplied_without_what_is_above_the_diagonal(width: int) -> None:
    """In float32, and added up in float64."""
    halves = [np.tril(np.random.default_rng(seed).normal(size=(width, width))).astype(np.float32) for seed in (1, 2)]
    exact = float(np.vdot(*(half.astype(np.float64) for half in halves)))
    assert squares.dot_halves(*halves) == pytest.approx(exact, abs=1e-6 * width)
    assert squares.dot_rows(*halves) == pytest.approx(exact, abs=1e-6 * width)
