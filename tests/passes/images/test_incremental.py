"""Adding a concept: what was there is neither encoded nor factorised again, and no bit depends on what was kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache as cached
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cache_cases import PROMPTS, Counting, Memory
from derive_cases import context, manifest
from systems import system

from editc import api
from editc.core.delta import Array
from editc.core.problem import System
from editc.families.images.unet import SD1
from editc.numerics import chain, ridge
from editc.numerics.chain import Chain, WeightedBlock
from editc.passes.images.keys.derive import Derive
from editc.passes.images.locate.locate import Locate
from editc.passes.images.rows import piecewise
from editc.passes.images.solve.solver import reduce_rank
from editc.passes.methods.images.mace import MACE
from editc.passes.methods.images.realera import RealEra
from editc.passes.methods.images.rece import RECE
from editc.passes.methods.images.trce import TRCE
from editc.passes.methods.images.uce import UCE

# ---------------------------------------------------------------- the numbers

D = 1040
"""Above `chain.LEAST_WIDTH`: narrow blocks are updates."""


def parts(seed: int, *widths: int, d: int = D) -> tuple[WeightedBlock, ...]:
    """Blocks of these widths, weights over four decades and a zero among them."""
    rng = np.random.default_rng(seed)
    found = []
    for m in widths:
        weights = 10.0 ** rng.uniform(-4, 0, size=m)
        weights[-1] = 0.0
        found.append(WeightedBlock(rng.normal(size=(d, m)), rng.normal(size=(d, m)), weights))
    return tuple(found)


@cached
def moment(d: int = D, rank: int = 300) -> Array:
    rows = np.random.default_rng(99).normal(size=(d, rank))
    return np.asarray(rows @ rows.T / rank)


@cached
def cold_solution(widths: tuple[int, ...]) -> ridge.Multiplier:
    """The solution of `parts(5, *widths)` without a cache, once for all tests that compare with it."""
    return chain.solve(parts(5, *widths), moment(), 0.1)


def whole(blocks: Sequence[WeightedBlock], kept: Array, lamb: float) -> Array:
    """G, by its definition and in one product."""
    keys, weights = np.hstack([p.keys for p in blocks]), np.concatenate([p.weights for p in blocks])
    return ridge.normal_matrix(keys, weights, kept, lamb)


def relative(found: Array, true: Array) -> float:
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))


@dataclass
class Watched(Memory):
    """A cache that counts what it gave."""

    given: list[str] = field(default_factory=list)

    def get(self, key: str, names: Iterable[str] = ()) -> Mapping[str, Array] | None:
        found = super().get(key, names)
        self.given += [key.split()[2]] if found is not None else []
        return found


@pytest.fixture
def factorised(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The d of every Cholesky that is made anew."""
    made: list[int] = []
    anew = ridge.cholesky

    def counted(normal: Array) -> Array | None:
        made.append(len(normal))
        return anew(normal)

    monkeypatch.setattr(ridge, "cholesky", counted)
    return made


@pytest.fixture
def everything_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "LEAST_OPERATIONS", 0)


@pytest.mark.parametrize("k", [1, 31, 32, 33, 130, 2 * D])
def test_an_update_is_the_factor_of_the_sum(k: int) -> None:
    start = moment() + 0.01 * np.eye(D)
    columns = np.random.default_rng(k).normal(size=(D, k))
    lower = chain.update_factor(ridge.factorise(start).lower, columns)
    fresh = ridge.factorise(start + columns @ columns.T).lower
    assert np.array_equal(lower, np.tril(lower)) and np.all(np.diag(lower) > 0)
    assert relative(lower, fresh) < 1e-11  # a positive definite matrix has one such factor
    assert relative(lower @ lower.T, start + columns @ columns.T) < 1e-14


@pytest.mark.parametrize("widths", [(5,), (40, 40, 40), (100, 40), (1, 129, 1), (2000, 7, 20), (7, 2000)])
def test_the_chain_solves_what_one_factorisation_solves(widths: tuple[int, ...]) -> None:
    blocks, kept = parts(1, *widths), moment()
    right = np.random.default_rng(2).normal(size=(D, 3))
    fresh = ridge.factorise(whole(blocks, kept, 0.01))
    found = Chain(blocks, kept, 0.01).factor()
    assert relative(found.solve(right), fresh.solve(right)) < 1e-10
    assert found.condition == pytest.approx(fresh.condition, rel=1e-6)


@pytest.mark.parametrize("per_key", [False, True])
@pytest.mark.parametrize(("d", "widths"), [(24, (5, 3)), (24, (40, 40)), (D, (20, 20)), (D, (1500, 20))])
def test_solving_by_blocks_is_solving_side_by_side(d: int, widths: tuple[int, ...], per_key: bool) -> None:
    blocks, kept = parts(3, *widths, d=d), moment(d)
    keys, targets = (np.hstack([getattr(p, name) for p in blocks]) for name in ("keys", "targets"))
    weights = np.concatenate([p.weights for p in blocks])
    one = chain.solve(blocks, kept, 0.1, per_key)
    other = ridge.solve(keys, targets, weights, kept, 0.1, per_key)
    assert one.left.shape == other.left.shape and one.residual < 1e-12
    assert relative(one.left @ one.right, other.left @ other.right) < 1e-10


def test_the_chain_never_updates_by_many_columns() -> None:
    assert Chain(parts(0, 60, 60), moment(), 1.0).checkpoint() == 0
    assert Chain(parts(0, 60, 60, 60), moment(), 1.0).checkpoint() == 3
    assert Chain(parts(0, 60, 60, 60, 60), moment(), 1.0).checkpoint() == 3
    assert Chain(parts(0, 2000, 60), moment(), 1.0).checkpoint() == 1
    assert Chain(parts(0, 1, 1, d=64), moment(64), 1.0).checkpoint() == 2  # too small for an update to pay


def test_a_new_block_updates_the_factor_that_was_kept(factorised: list[int], everything_kept: None) -> None:
    blocks, kept, cache = parts(4, 1500, 12, 9), moment(), Watched()
    Chain(blocks[:2], kept, 0.1, cache).factor()
    assert factorised == [D]
    found = Chain(blocks, kept, 0.1, cache).factor()
    assert factorised == [D] and sorted(cache.given) == ["gram", "lower"]
    cold = Chain(blocks, kept, 0.1).factor()
    assert len(factorised) == 2
    assert found.lower.tobytes() == cold.lower.tobytes() and found.lower.strides == cold.lower.strides


@pytest.mark.parametrize("widths", [(1500, 12, 9), (12, 9, 30), (600, 500, 400), (9, 1500, 3)])
@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_what_was_kept_changes_no_bit(widths: tuple[int, ...], before: int, everything_kept: None) -> None:
    blocks, kept = parts(5, *widths), moment()
    cold, cache = cold_solution(widths), Watched()
    if before:
        chain.solve(blocks[:before], kept, 0.1, cache=cache)
    warm = chain.solve(blocks, kept, 0.1, cache=cache)
    for name in ("left", "right"):
        assert getattr(warm, name).tobytes() == getattr(cold, name).tobytes()
    assert warm.residual == cold.residual
    assert bool(cache.given) is (
        before > 0 and sum(widths[:before]) > 9
    )  # nine columns alone leave nothing to begin with


@pytest.mark.slow
def test_a_beginning_counts_by_what_is_in_it(everything_kept: None) -> None:
    """Other keys, weights, targets, kept rows or ridge: nothing that they change is taken from the cache."""
    (first, second), kept, cache = parts(6, 1500, 12), moment(), Watched()
    chain.solve((first, second), kept, 0.1, cache=cache)
    others: list[tuple[WeightedBlock, Array, float, set[str]]] = [
        (replace(first, keys=first.keys + 1e-9), kept, 0.1, set()),
        (replace(first, weights=first.weights * 2), kept, 0.1, set()),
        (replace(first, targets=first.targets + 1e-9), kept, 0.1, {"gram", "lower"}),
        (first, kept * 1.01, 0.1, {"gram", "aim"}),
        (first, kept, 0.2, {"gram", "aim"}),
    ]
    for part, rows, lamb, may in others:
        cache.given.clear()
        trial = Watched(dict(cache.held))
        warm, cold = (chain.solve((part, second), rows, lamb, cache=on) for on in (trial, None))
        assert set(trial.given) == may and warm.right.tobytes() == cold.right.tobytes()


def test_an_update_that_lost_accuracy_is_thrown_away(factorised: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    blocks, kept = parts(7, 1500, 12), moment()
    sound = chain.update_factor
    monkeypatch.setattr(chain, "update_factor", lambda lower, columns: sound(lower, columns) * (1 + 1e-9))
    found = Chain(blocks, kept, 0.1).factor()
    assert factorised == [D, D]
    assert relative(found.lower @ found.lower.T, whole(blocks, kept, 0.1)) < 1e-14


def test_a_beginning_without_a_factor_is_no_error(factorised: list[int]) -> None:
    """No ridge and few kept rows: only the sum of all is regular."""
    blocks = (*parts(8, 10), WeightedBlock(np.eye(D)[:, :100], np.zeros((D, 100)), np.ones(100)))
    kept = np.diag(np.r_[np.zeros(100), np.ones(D - 100)])
    found = Chain(blocks, kept, 0.0).factor()
    assert factorised == [D, D]
    assert relative(found.lower @ found.lower.T, whole(blocks, kept, 0.0)) < 1e-14
    with pytest.raises(ridge.SingularError):
        Chain(blocks[:1], kept, 0.0).factor()


def test_what_is_not_finite_is_said_to_be(everything_kept: None) -> None:
    (one,) = parts(9, 12)
    for name in ("keys", "targets", "weights"):
        with pytest.raises(ridge.NonFiniteError):
            chain.solve([replace(one, **{name: getattr(one, name) * np.nan})], moment(), 0.1, cache=Watched())


# ---------------------------------------------------------------- methods

METHODS = (UCE(), MACE(), TRCE(), RealEra(neighbours=0), RECE(), RECE(anchor="current", epochs=2))


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__ + str(vars(m).get("epochs", "")))
def test_a_method_gives_the_same_bits_whatever_was_kept(method: Any, everything_kept: None) -> None:
    problem = system(3)
    fewer = replace(problem, blocks=problem.blocks[:2])
    cold, cache = method(problem), Watched()
    for one in (fewer, problem):
        cache.given.clear()
        warm = method(replace(one, cache=cache))
    assert "gram" in cache.given
    for name in ("left", "right"):
        for mine, theirs in zip(getattr(warm, name), getattr(cold, name), strict=True):
            assert mine.tobytes() == theirs.tobytes()
    assert warm.stats == cold.stats


def test_the_metric_of_the_rank_is_taken_from_the_solve(factorised: list[int], everything_kept: None) -> None:
    """By its defaults UCE factorises the very matrix in which solve measures what a lower rank loses."""
    problem = replace(system(4), cache=Watched())
    edit = UCE()(problem)
    assert len(factorised) == 1
    small = reduce_rank(problem, edit, 0.1, None)
    assert len(factorised) == 1
    assert small.right[0].tobytes() == reduce_rank(replace(problem, cache=None), edit, 0.1, None).right[0].tobytes()


# ---------------------------------------------------------------- what is encoded


def asked(*names: str, rule: str = "aligned", more: str = "") -> str:
    return "edits:\n" + "".join(f"  - erase: {name}\n    to: shape\n    keys: {rule}\n" for name in names) + more


def derived(text: str, cache: Any) -> tuple[System, Counting]:
    encoder = Counting()
    ctx = replace(context(), encoder=encoder, cache=cache)
    return Derive(PROMPTS)(Locate((SD1,))(manifest(text), ctx), ctx).systems["text"], encoder


def same(one: System, other: System) -> bool:
    pairs = [(one.preserved.moment, other.preserved.moment), (one.preserved.rows, other.preserved.rows)]
    for mine, theirs in zip(one.blocks, other.blocks, strict=True):
        assert (mine.labels, mine.row_kinds, mine.strength) == (theirs.labels, theirs.row_kinds, theirs.strength)
        pairs += [(getattr(mine, name), getattr(theirs, name)) for name in ("keys", "targets", "weights")]
    return all(a.tobytes() == b.tobytes() and a.strides == b.strides for a, b in pairs)


@pytest.mark.parametrize("rule", ["aligned", "last", "span", "matched", "eot"])
def test_a_new_concept_is_all_that_is_encoded(rule: str) -> None:
    cache = Memory()
    derived(asked("circle", "star", rule=rule), cache)
    more, encoder = derived(asked("circle", "star", "heart", rule=rule), cache)
    assert encoder.asked and all("heart" in prompt or not prompt.strip() for prompt in encoder.asked)
    cold, whole_encoder = derived(asked("circle", "star", "heart", rule=rule), None)
    assert same(more, cold) and len(encoder.asked) < len(whole_encoder.asked) / 3


def test_a_concept_that_the_corpus_names_costs_its_piece_of_the_corpus() -> None:
    """Its prompts are left out of what is kept, and of the rest only the pieces that lose one are read again."""
    name, cache = PROMPTS[60], Memory()
    derived(asked("circle"), cache)
    more, encoder = derived(asked("circle", name), cache)
    assert name not in more.preserved.prompts
    assert 0 < len(set(encoder.asked) & set(PROMPTS)) <= piecewise.LONGEST_PIECE
    assert same(more, derived(asked("circle", name), None)[0])


@pytest.mark.parametrize("gone", range(0, 150, 7))
def test_a_list_without_one_prompt_is_cut_alike_elsewhere(gone: int) -> None:
    one, other = (
        list(piecewise.split_into_pieces(PROMPTS)),
        list(piecewise.split_into_pieces(PROMPTS[:gone] + PROMPTS[gone + 1 :])),
    )
    assert sum(one, ()) == PROMPTS and max(map(len, one)) < piecewise.LONGEST_PIECE
    assert len(set(other) - set(one)) <= 1


def test_a_corpus_too_large_is_not_kept_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piecewise, "CACHED_BYTES", 1000)
    cache = Memory()
    piecewise.condense_prompts(PROMPTS, Counting(), cache, mark="fake")
    tally, begun = sorted(cache.held.values(), key=len, reverse=True)
    assert set(tally) == {"rows", "sizes"} and set(begun) == {"done"}  # no rows are left of what was begun


def test_another_encoder_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Memory()
    derived(asked("circle"), cache)
    monkeypatch.setattr(Counting, "fingerprint", lambda self: "another")
    _, encoder = derived(asked("circle"), cache)
    assert set(PROMPTS) <= set(encoder.asked)


# ---------------------------------------------------------------- a whole build

BUILD = (
    "contexts: ['{}', 'a red {}', 'a {} on grass']\npreserve: {concepts: [square, tree], prompts: [a house on grass]}\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["uce", "rece"])
def test_adding_a_concept_gives_the_bytes_of_a_fresh_build(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, everything_kept: None
) -> None:
    def built(names: Sequence[str], cache: str) -> list[bytes]:
        monkeypatch.setenv("EDITC_CACHE", cache)
        edits = "".join(f"  - {{erase: {name}, to: square, method: {method}}}\n" for name in names)
        path = tmp_path / "m.yaml"
        path.write_text(f"editc: 1\nmodel: editc:demo\nedits:\n{edits}{BUILD}")
        made = api.build(path, tmp_path / "out")
        assert made is not None and made.delta is not None
        return [file.read_bytes() for file in made.files]

    three, warm = ("circle", "star", "heart"), str(tmp_path / "warm")
    built(three[:2], warm)
    fresh = built(three, str(tmp_path / "empty"))
    assert built(three, warm) == fresh == built(three, "")
