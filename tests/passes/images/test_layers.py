"""What verify sums over stored layers is what the definitions say, in whatever way it is summed; and in how little."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import systems
from layer_cases import WIDTH, by_definition, edit, many, solution

from editc.backends.encoders.t5 import representative_rows
from editc.core import site_bytes
from editc.core.delta import Factors, Site
from editc.core.solution import Edit, Stats
from editc.numerics.bits import dtypes
from editc.numerics.squares import gram, half_gram, mirror, trace_of_product
from editc.passes.images.measure import row_sums
from editc.passes.images.measure.certificate import LayerSums, shared_sums
from editc.passes.images.measure.measure import SiteMeasurement, measure_sites
from editc.passes.images.measure.row_sums import RowColumns, RowMoments, target_misses
from editc.passes.stored import stored_weight


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
@pytest.mark.parametrize("form", ["shared", "low-rank", "dense"])
def test_every_figure_is_its_definition_on_the_stored_weights(form: str, dtype: str) -> None:
    system = many(0)
    found = solution(system, edit(form, system), dtype)
    for one, (drift, empty, errors) in zip(measure_sites(found), by_definition(found), strict=True):
        assert one.drift == pytest.approx(drift, rel=1e-9) and one.unconditional == pytest.approx(empty, rel=1e-9)
        np.testing.assert_allclose(one.errors, errors, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["F64", "F16", "BF16"])
def test_moments_say_what_columns_say(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    system = many(1)
    found = solution(system, edit("shared", system), dtype)
    taken: list[object] = []
    made = RowMoments.of

    def counted(*given: Any) -> RowMoments:
        taken.append(given)
        return made(*given)

    monkeypatch.setattr(RowMoments, "of", staticmethod(counted))
    moments = list(measure_sites(found))
    assert len(taken) == 3, "the kept rows and both blocks, and not the empty prompt's two rows"
    monkeypatch.setattr(row_sums, "condense_rows", lambda rows, *_: rows)
    monkeypatch.setattr("editc.passes.images.measure.measure.condense_rows", lambda rows, *_: rows)
    for one, other in zip(moments, measure_sites(found), strict=True):
        assert figures(one) == pytest.approx(figures(other), rel=1e-10)


def figures(one: SiteMeasurement) -> list[float]:
    return [one.drift, one.unconditional, one.change, *one.errors.ravel()]


def test_what_an_edit_meets_entirely_is_left_with_the_rounding_alone() -> None:
    """No difference of large squares: of an error of 1e-7 the moments still have digits."""
    rng, system = np.random.default_rng(3), many(2)
    M = 0.3 * rng.normal(size=(WIDTH, WIDTH)).astype(np.float32).astype(float)
    blocks = tuple(replace(b, targets=b.keys + M @ b.keys) for b in system.blocks)
    change = Edit("shared", (np.eye(WIDTH),), (M,), Stats(1.0, 0.0, WIDTH))
    found = solution(replace(system, blocks=blocks), change, "F32")
    for one, (_, _, errors) in zip(measure_sites(found), by_definition(found), strict=True):
        assert 0 < one.errors[0, 0] < 1e-13 * one.errors[0, 1]
        np.testing.assert_allclose(one.errors[:, 0], np.array(errors)[:, 0], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["F64", "F16", "BF16"])
@pytest.mark.parametrize("form", ["shared", "low-rank", "dense"])
def test_the_certificate_sees_the_grams_of_the_stored_weights(form: str, dtype: str) -> None:
    system = many(4)
    found = solution(system, edit(form, system), dtype)
    sums = LayerSums(found)
    list(measure_sites(found, observe=sums.add))
    kept = found.problem.systems["text"].weights
    after = [
        stored_weight(W, found.edits["text"], i, s)
        for i, (W, s) in enumerate(zip(kept, found.problem.plan.sites, strict=True))
    ]
    expected = sum(A.T @ A for A in after), sum(A.T @ W for A, W in zip(after, kept, strict=True))
    for one, other in zip(sums.grams("text"), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * np.abs(other).max())
    if form == "shared" and dtype == "BF16":
        unrounded = shared_sums(found.problem.systems["text"], found.edits["text"])[0]
        assert np.abs(unrounded - expected[0]).max() > 1e-6 * np.abs(expected[0]).max(), "bfloat16 is no small matter"


def test_symmetric_products() -> None:
    rng = np.random.default_rng(5)
    A, S = rng.normal(size=(7, 5)), gram(rng.normal(size=(9, 5)))
    half = half_gram(A)
    assert np.array_equal(np.triu(half, 1), np.zeros((5, 5))) and np.array_equal(mirror(half), mirror(half).T)
    np.testing.assert_allclose(gram(A), A.T @ A, rtol=1e-13)
    assert trace_of_product(half, S) == pytest.approx(np.trace(A.T @ A @ S), rel=1e-13)
    assert np.array_equal(half_gram(np.zeros((0, 3))), np.zeros((3, 3)))
    assert np.array_equal(half_gram(A[:, ::2]), half_gram(A[:, ::2].copy()))


def test_memory_does_not_grow_with_the_sentences() -> None:
    """What verify holds of a block of 40 d columns, besides the block and while making it, is some columns' worth of
    two copies; what stays, four matrices."""
    width, rng = 96, np.random.default_rng(6)
    block = systems.block(rng, "circle", 2)
    keys = rng.normal(size=(width, 40 * width))
    block = replace(block, keys=keys, targets=keys + 1, weights=np.ones(40 * width))
    left, right = rng.normal(size=(width, 4)), rng.normal(size=(4, width))
    tracemalloc.start()
    rows = row_sums.condense_rows(target_misses(block), left, right, 100 * width)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 5 * width * width * 8 < keys.nbytes
    few = row_sums.condense_rows(RowColumns(keys[:, :10]), left, right, 100 * width)
    assert isinstance(rows, RowMoments) and isinstance(few, RowColumns) and few.keys.shape == (width, 10)


def test_a_prompt_of_512_tokens_has_few_rows() -> None:
    """T5's padding stands for itself at distances that double: a context costs a few rows, and not 512."""
    rows = representative_rows(7, 512)
    assert rows[:7] == list(range(7)) and len(rows) <= 7 + 9 and rows[-1] < 512


@pytest.mark.parametrize("form", ["shared", "low-rank", "dense"])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_apply_edits_rows_in_parts_and_every_bit_is_the_same(form: str, dtype: str) -> None:
    rng, site = np.random.default_rng(8), Site("unet", "w", (37, 24), dtype, "k")
    left = {"shared": (24, 3), "low-rank": (37, 3), "dense": (37, 24)}[form]
    right = () if form == "dense" else (rng.normal(size=(3, 24)).astype(np.float32),)
    factors = Factors(form, (0,), (rng.normal(size=left).astype(np.float32),), right)  # type: ignore[arg-type]
    raw = dtypes.encode(rng.normal(size=site.shape), dtype)
    whole = site_bytes.edit_bytes(raw, dtype, site, factors, 0)
    size = len(raw) // 37
    parts = (site_bytes.edit_bytes(raw[i * size : (i + 5) * size], dtype, site, factors, 0, i) for i in range(0, 37, 5))
    assert b"".join(parts) == whole and whole != raw


def test_memory_of_an_edit_is_that_of_its_bytes() -> None:
    site, part = Site("unet", "w", (4096, 256), "BF16", "k"), 1 << 15
    factors = Factors("shared", (0,), (np.ones((256, 2), np.float32),), (np.ones((2, 256), np.float32),))
    raw = dtypes.encode(np.ones(site.shape), "BF16")
    tracemalloc.start()
    site_bytes.edit_bytes(raw, "BF16", site, factors, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.1 * len(raw) + 64 * part + 1_000_000 < 8 * site.shape[0] * site.shape[1]
