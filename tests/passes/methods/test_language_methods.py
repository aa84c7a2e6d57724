"""What must be true of the closed forms for language models, in matrices alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_cases import D_IN, D_OUT, change, memory

from editc.core.delta import Array
from editc.core.language_problem import Writer
from editc.numerics import directions
from editc.numerics import memory as memories
from editc.numerics.nullspace import NoFreeDirectionError
from editc.numerics.ridge import NonFiniteError, SingularError, factorise
from editc.passes.methods import LanguageMethod
from editc.passes.methods.language.ablate import Ablate
from editc.passes.methods.language.alphaedit import AlphaEdit
from editc.passes.methods.language.emmet import EMMET
from editc.passes.methods.language.evoedit import EvoEdit
from editc.passes.methods.language.joint import Joint
from editc.passes.methods.language.leace import LEACE
from editc.passes.methods.language.lunar import LUNAR
from editc.passes.methods.language.memit import MEMIT
from editc.passes.methods.language.rmu_ridge import RMURidge
from editc.passes.methods.language.rocr import ROCR
from editc.passes.methods.language.rome import ROME
from editc.passes.methods.language.transplant import Transplant
from editc.registry.methods import METHODS

SEEDS = st.integers(0, 10_000)
few = settings(max_examples=12, deadline=None)
MEMORY: tuple[Any, ...] = (
    *(ROME(), EMMET(), MEMIT(5.0), AlphaEdit(), EvoEdit(), Joint(5.0)),
    *(ROCR(), Transplant(), LUNAR(), RMURidge()),
)
WRITERS: tuple[Any, ...] = (Ablate(), Ablate(projected=False), Ablate(count=3), LEACE())


def writer(seed: int, count: int = 40) -> Writer:
    rng = np.random.default_rng(seed)
    shift, mean = rng.normal(size=D_OUT), 3 * rng.normal(size=D_OUT)
    absent = mean + rng.normal(size=(count, D_OUT))
    present = mean + shift + rng.normal(size=(count, D_OUT)) + rng.normal(size=(count, 1)) * rng.normal(size=D_OUT)
    return Writer(rng.normal(size=(D_OUT, D_IN)), (present,), (absent,))


def cost(D: Array, moment: Array) -> float:
    return float(np.trace(D @ moment @ D.T))


@given(SEEDS)
@few
def test_rome_holds_every_fact_and_nothing_that_does_costs_less(seed: int) -> None:
    given_ = memory(seed)
    D = change(ROME()(given_))
    assert np.allclose(D @ given_.keys, given_.residuals, atol=1e-8)
    rng = np.random.default_rng(seed + 1)
    free = rng.normal(size=(D_OUT, D_IN))
    free -= free @ given_.keys @ np.linalg.pinv(given_.keys)
    assert cost(D, given_.moment) <= cost(D + 0.1 * free, given_.moment) + 1e-12


@given(SEEDS)
@few
def test_one_fact_is_the_papers_rank_one(seed: int) -> None:
    """D = r u^T / (k . u); the original divides by the bare prompt's key: then that is held and not the mean."""
    one = memory(seed, edits=1)
    u = np.linalg.solve(one.moment, one.keys)
    assert np.allclose(change(ROME()(one)), one.residuals @ u.T / (one.keys.T @ u), atol=1e-9)
    original = change(ROME("bare")(one))
    assert np.allclose(original @ one.bare, one.residuals, atol=1e-6)
    assert not np.allclose(original @ one.keys, one.residuals, atol=1e-3)


@given(SEEDS)
@few
def test_summing_single_edits_misses_where_keys_are_alike_and_the_joint_solve_does_not(seed: int) -> None:
    both = memory(seed, edits=2)
    alike = replace(both, keys=np.column_stack([both.keys[:, 0], both.keys[:, 0] + 0.3 * both.keys[:, 1]]))
    parts = [replace(alike, keys=alike.keys[:, [i]], residuals=alike.residuals[:, [i]]) for i in (0, 1)]
    summed = sum(change(ROME()(part)) for part in parts)
    assert np.abs(change(ROME()(alike)) @ alike.keys - alike.residuals).max() < 1e-7
    assert np.abs(summed @ alike.keys - alike.residuals).max() > 1e-2


@given(SEEDS, st.floats(0.01, 100))
@few
def test_memit_is_the_minimum_of_its_sum(seed: int, lamb: float) -> None:
    given_ = memory(seed)
    D = change(MEMIT(lamb)(given_))
    C, K, R = given_.moment, given_.keys, given_.residuals
    gradient = lamb * D @ C + (D @ K - R) @ K.T
    assert np.abs(gradient).max() <= 1e-9 * max(1.0, np.abs(R @ K.T).max())


@given(SEEDS)
@few
def test_alphaedit_moves_nothing_that_text_uses_nor_earlier_edits(seed: int) -> None:
    given_ = memory(seed, earlier=3)
    D = change(AlphaEdit(energy=0.3, l2=1e-9)(given_))
    basis = memories.null_space_basis(given_.moment, energy=0.3)
    used = np.eye(D_IN) - basis @ basis.T
    assert np.abs(D @ used).max() < 1e-9 * np.abs(D).max()
    assert np.abs(D @ given_.preserved).max() < 1e-4 * np.abs(given_.residuals).max()
    assert np.abs(D @ given_.keys - given_.residuals).max() < 1e-4
    without = change(AlphaEdit(energy=0.3, l2=1e-9)(replace(given_, preserved=np.zeros((D_IN, 0)))))
    assert np.abs(without @ given_.preserved).max() > 1e-2


@given(SEEDS)
@few
def test_rocr_is_of_rank_one_in_closed_form(seed: int) -> None:
    one = memory(seed, edits=1)
    basis = memories.null_space_basis(one.moment, energy=0.1)
    Pk = basis @ (basis.T @ one.keys)
    expected = one.residuals @ Pk.T / (1 + one.keys.T @ Pk)
    assert np.allclose(change(ROCR()(one)), expected, atol=1e-10)


def test_a_threshold_above_all_is_the_whole_space_and_below_all_is_no_room() -> None:
    given_ = memory(1)
    assert memories.null_space_basis(given_.moment, threshold=10).shape[1] == D_IN
    with pytest.raises(NoFreeDirectionError):
        AlphaEdit(threshold=1e-9)(given_)


@pytest.mark.parametrize("method", MEMORY, ids=lambda m: type(m).__name__)
def test_no_residual_is_no_edit_and_order_does_not_matter(method: Any) -> None:
    given_ = memory(3, earlier=2)
    assert not change(method(replace(given_, residuals=np.zeros_like(given_.residuals)))).any()
    turned = replace(given_, keys=given_.keys[:, ::-1], bare=given_.bare[:, ::-1], residuals=given_.residuals[:, ::-1])
    assert np.allclose(change(method(given_)), change(method(turned)), atol=1e-9)
    assert len(method(given_).right[0]) == 3


@pytest.mark.parametrize("method", MEMORY, ids=lambda m: type(m).__name__)
def test_nan_is_refused(method: Any) -> None:
    given_ = memory(4)
    bad = given_.keys.copy()
    bad[0, 0] = np.nan
    with pytest.raises(NonFiniteError):
        method(replace(given_, keys=bad))


def test_two_facts_with_one_key_are_singular() -> None:
    given_ = memory(5, edits=2)
    with pytest.raises(SingularError):
        ROME()(replace(given_, keys=given_.keys[:, [0, 0]]))


def test_interference_is_the_cosine_by_which_an_edit_spills() -> None:
    """Of two facts the first alone moves the second's output by cos times the ratio of the keys' lengths."""
    given_ = memory(6, edits=2)
    moment = factorise(given_.moment)
    cosines = memories.interference(given_.keys, moment)
    one = replace(given_, keys=given_.keys[:, :1], residuals=given_.residuals[:, :1])
    spilt = change(ROME()(one)) @ given_.keys[:, 1]
    size = np.sqrt(np.diag(given_.keys.T @ moment.solve(given_.keys)))
    assert np.allclose(spilt, given_.residuals[:, 0] * cosines[0, 1] * size[1] / size[0])
    assert np.allclose(np.diag(cosines), 1)


@pytest.mark.parametrize("method", WRITERS, ids=str)
def test_an_ablated_matrix_writes_nothing_along_the_directions(method: Any) -> None:
    given_ = writer(1)
    edit = method(given_)
    after = given_.weight + change(edit)
    if isinstance(method, Ablate):
        basis = method.basis(given_)
        assert np.allclose(basis.T @ basis, np.eye(basis.shape[1]))
        assert np.abs(basis.T @ after).max() < 1e-10
    half = type(method)(**{**vars(method), "scale": 0.5})(given_)
    assert np.allclose(change(half), change(edit) / 2)


@pytest.mark.parametrize("method", WRITERS, ids=str)
def test_concepts_are_taken_out_together(method: Any) -> None:
    """What one after the other would leave: the first direction's part along the second."""
    one, two = writer(1), writer(5)
    both = replace(one, present=one.present + two.present, absent=one.absent + two.absent)
    after = both.weight + change(method(both))
    if isinstance(method, Ablate) and not method.norms:
        for alone in (one, two):
            assert np.abs(method.basis(alone).T @ after).max() < 1e-10
    if isinstance(method, LEACE):
        sets = (*both.present, *both.absent)
        every, wrong = np.vstack(sets), np.linalg.pinv(both.weight)
        E = -change(method(both)) @ wrong
        outputs = [(one - every.mean(axis=0)) @ (np.eye(D_OUT) - E).T for one in sets]
        rest = [np.vstack([o for k, o in enumerate(outputs) if k != i]).mean(axis=0) for i in range(2)]
        assert all(np.allclose(outputs[i].mean(axis=0), rest[i], atol=1e-8) for i in range(2))
    same = replace(one, present=one.present * 2, absent=one.absent * 2)
    if isinstance(method, Ablate) and method.count == 1:
        assert method(same).stats.rank == method(one).stats.rank


def test_projected_leaves_the_mean_of_ordinary_text() -> None:
    given_ = writer(2)
    mean = given_.absent[0].mean(axis=0)
    assert (
        abs(float(Ablate().basis(given_)[:, 0] @ mean))
        < 1e-10
        < abs(float(Ablate(projected=False).basis(given_)[:, 0] @ mean))
    )


def test_a_subspace_leaves_the_mean_too_and_is_no_larger_than_what_spans_it() -> None:
    given_ = writer(2)
    mean = given_.absent[0].mean(axis=0)
    assert np.abs(Ablate(count=3).basis(given_).T @ mean).max() < 1e-10
    assert np.abs(Ablate(count=3, projected=False).basis(given_).T @ mean).max() > 1e-3
    few = replace(given_, present=(given_.present[0][:2],))
    with pytest.raises(ValueError, match="`count` is 3, and 2 prompts"):
        Ablate(count=3)(few)


def test_row_norms_stay_and_the_direction_goes() -> None:
    """Before the norms are restored the direction is gone; after it, it is gone from the unit rows' pattern."""
    given_ = writer(3)
    after = given_.weight + change(Ablate(norms=True)(given_))
    assert np.allclose(np.linalg.norm(after, axis=1), np.linalg.norm(given_.weight, axis=1))
    assert not np.allclose(after, given_.weight)


@given(SEEDS)
@few
def test_after_leace_the_classes_have_one_mean_and_ablation_along_the_means_moves_more(seed: int) -> None:
    given_ = writer(seed)
    outputs = np.vstack([*given_.present, *given_.absent])
    labels = np.repeat([[1.0], [0.0]], len(given_.present[0]), axis=0)
    eraser = directions.leace(outputs, labels)
    erased = outputs - (outputs - eraser.mean) @ (eraser.left @ eraser.right).T
    half = len(given_.present[0])
    assert np.allclose(erased[:half].mean(axis=0), erased[half:].mean(axis=0), atol=1e-9)
    v = directions.difference(given_.present[0], given_.absent[0])
    orthogonal = outputs - (outputs - eraser.mean) @ (v @ v.T)
    scale = np.linalg.inv(np.cov(outputs.T))

    def moved(after: Array) -> float:
        d = after - outputs
        return float(np.einsum("ni,ij,nj->", d, scale, d))

    assert moved(erased) <= moved(orthogonal) + 1e-9


def test_equal_sets_have_no_direction() -> None:
    same = writer(4)
    with pytest.raises(SingularError):
        Ablate()(replace(same, present=same.absent))
    with pytest.raises(SingularError):
        LEACE()(replace(same, present=same.absent))


@pytest.mark.parametrize(
    "wrong", [lambda: EMMET(relax=-1), lambda: MEMIT(-1), lambda: AlphaEdit(l2=-1), lambda: Ablate(count=0)]
)
def test_options_out_of_range(wrong: Any) -> None:
    with pytest.raises(ValueError):
        wrong()


def test_what_a_pass_must_know_of_a_method_stands_in_its_class() -> None:
    for name in METHODS.names("language"):
        assert all(hasattr(METHODS.resolve(name), trait) for trait in LanguageMethod.__annotations__), name
    assert {name for name in METHODS.names("language") if METHODS.resolve(name).single} == {"rome", "emmet", "lunar"}
