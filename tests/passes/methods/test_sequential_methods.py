"""What must be true of methods for many requests, and of those that make their own values, in matrices alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_cases import change, memory

from editc.core.delta import Array
from editc.core.language_problem import AnswerGradients, KeyStates, Memory
from editc.numerics import memory as memories
from editc.numerics.nullspace import NoFreeDirectionError
from editc.numerics.ridge import NonFiniteError
from editc.passes.methods.language.alphaedit import AlphaEdit
from editc.passes.methods.language.evoedit import EvoEdit
from editc.passes.methods.language.joint import Joint
from editc.passes.methods.language.lunar import LUNAR
from editc.passes.methods.language.memit import MEMIT
from editc.passes.methods.language.rmu_ridge import RMURidge
from editc.passes.methods.language.ultraedit import UltraEdit

SEEDS = st.integers(0, 10_000)
few = settings(max_examples=12, deadline=None)


def one_after_another(method: Any, whole: Memory, sizes: tuple[int, ...]) -> Array:
    """The sum of the changes of requests of these sizes: each writes what the changes before it left undone, and holds
    their keys."""
    D = np.zeros((len(whole.residuals), len(whole.keys)))
    start = 0
    for size in sizes:
        part = slice(start, start + size)
        keys = whole.keys[:, part]
        held = np.hstack([whole.preserved, whole.keys[:, :start]])
        left = whole.residuals[:, part] - D @ keys
        D = D + change(method(replace(whole, keys=keys, bare=keys, residuals=left, preserved=held)))
        start += size
    return D


@given(SEEDS, st.floats(0.01, 100))
@few
def test_one_at_a_time_equals_all_at_once_when_the_earlier_constraints_stay_in_the_system(
    seed: int, lamb: float
) -> None:
    whole = memory(seed, edits=6, earlier=2)
    once = change(Joint(lamb)(whole))
    for sizes in ((1, 1, 1, 1, 1, 1), (2, 3, 1), (4, 2)):
        assert np.allclose(one_after_another(Joint(lamb), whole, sizes), once, atol=1e-7 * np.abs(once).max())


def test_one_at_a_time_differs_from_all_at_once_where_earlier_keys_weigh_otherwise() -> None:
    """`memit` counts each preserved key like `lamb` facts, and without them it forgets: both are controls."""
    whole = memory(3, edits=6)
    once = change(MEMIT(5.0)(whole))
    assert not np.allclose(one_after_another(MEMIT(5.0), whole, (1,) * 6), once, rtol=1e-2)
    assert np.allclose(change(Joint(5.0)(whole)), once)


def test_joint_is_memit_where_nothing_is_preserved() -> None:
    whole = memory(4)
    assert np.allclose(change(Joint(7.0)(whole)), change(MEMIT(7.0)(whole)))


@given(SEEDS)
@few
def test_evoedit_moves_nothing_that_an_earlier_edit_wrote_nor_what_text_uses(seed: int) -> None:
    given_ = memory(seed, earlier=3)
    method = EvoEdit(energy=0.3, tau=0)
    D = change(method(given_))
    quiet = memories.null_space_basis(given_.moment, energy=0.3)
    assert np.abs(D @ given_.preserved).max() < 1e-9 * np.abs(given_.residuals).max()
    assert np.abs(D @ (np.eye(len(quiet)) - quiet @ quiet.T)).max() < 1e-9 * np.abs(D).max()
    weighed = change(AlphaEdit(energy=0.3)(given_))
    assert np.abs(weighed @ given_.preserved).max() > 1e-3 * np.abs(given_.residuals).max()


@given(SEEDS)
@few
def test_the_null_space_evolves_to_the_same_place_request_by_request_and_at_once(seed: int) -> None:
    """P_t = P_(t-1) - Q Q^T, Q the left singular vectors of P_(t-1) K_t: the recursion of the paper, step by step."""
    given_ = memory(seed, earlier=4)
    start = memories.null_space_basis(given_.moment, energy=0.3)
    P = start @ start.T
    for keys in (given_.preserved[:, :1], given_.preserved[:, 1:3], given_.preserved[:, 3:]):
        Q, values, _ = np.linalg.svd(P @ keys, full_matrices=False)
        Q = Q[:, values > 1e-9]
        P = P - Q @ Q.T
    used = memories.used_directions(start.T @ given_.preserved, 0)
    assert np.allclose(start @ (np.eye(start.shape[1]) - used @ used.T) @ start.T, P, atol=1e-8)
    K, R = given_.keys, given_.residuals
    published = R @ np.linalg.solve(K.T @ P @ K + np.eye(K.shape[1]), K.T @ P)
    assert np.allclose(change(EvoEdit(energy=0.3, tau=0)(given_)), published, atol=1e-8)


def test_evoedit_is_alphaedit_before_the_first_request_and_refuses_where_nothing_is_free() -> None:
    given_ = memory(5)
    assert np.allclose(change(EvoEdit()(given_)), change(AlphaEdit()(given_)))
    with pytest.raises(NoFreeDirectionError):
        EvoEdit(energy=0.3, tau=0)(memory(5, earlier=25))


@given(SEEDS, st.floats(0.1, 1))
@few
def test_sphere_takes_a_share_out_of_what_the_matrix_uses_most_and_leaves_the_rest(seed: int, share: float) -> None:
    given_ = replace(memory(seed), weight=np.random.default_rng(seed + 1).normal(size=(12, 20)) * np.arange(1, 21))
    whole, spared = (change(AlphaEdit(energy=0.9, sphere=one)(given_)) for one in (0, share))
    N = given_.weight / np.linalg.norm(given_.weight, axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(N.T @ N)
    count = next(k for k in range(1, 21) if values[::-1][:k].sum() >= 0.5 * values.sum())
    U = vectors[:, ::-1][:, :count]
    assert np.allclose(spared, whole @ (np.eye(20) - share * U @ U.T), atol=1e-9 * max(1, np.abs(whole).max()))
    with pytest.raises(ValueError, match="at most 1"):
        AlphaEdit(sphere=2)


def answers(seed: int, tokens: int = 4, earlier: int = 5) -> AnswerGradients:
    draw = np.random.default_rng(seed).normal
    keys, gradients, old = draw(size=(9, tokens)), draw(size=(6, tokens)), draw(size=(9, earlier))
    return AnswerGradients(keys, gradients, old, draw(size=(6, earlier)), np.ones(tokens))


@given(SEEDS)
@few
def test_ultraedit_is_the_published_order_of_work(seed: int) -> None:
    """Running mean and deviation over all tokens so far, then v = -lr |h~|^2 g~, then the ridge on the raw keys."""
    given_ = answers(seed)
    count, mean, square = 0, np.zeros(15), np.zeros(15)
    for keys, gradients in ((given_.earlier_keys, given_.earlier_gradients), (given_.keys, given_.gradients)):
        for token in np.vstack([keys, gradients]).T:
            count += 1
            step = token - mean
            mean = mean + step / count
            square = square + step * (token - mean)
    normal = (np.vstack([given_.keys, given_.gradients]).T - mean) / np.sqrt(square / (count - 1))
    H, V = given_.keys.T, -1e-3 * (normal[:, :9] ** 2).sum(axis=1, keepdims=True) * normal[:, 9:]
    shift = np.linalg.solve(H.T @ H + np.eye(9), H.T @ V)
    assert np.allclose(change(UltraEdit(rate=1e-3)(given_)), shift.T, atol=1e-12)


def test_ultraedit_needs_two_tokens_and_finite_gradients_and_scales_with_the_strength() -> None:
    with pytest.raises(ValueError, match="there is one"):
        UltraEdit()(answers(1, 1, 0))
    bad = answers(1)
    with pytest.raises(NonFiniteError):
        UltraEdit()(replace(bad, gradients=bad.gradients * np.inf))
    half = replace(answers(2), strengths=np.full(4, 0.5))
    assert np.allclose(change(UltraEdit()(half)) * 2, change(UltraEdit()(answers(2))))
    assert not change(UltraEdit()(replace(half, strengths=np.zeros(4)))).any()
    assert UltraEdit()(answers(3)).stats.rank == 4


def states(seed: int) -> list[KeyStates]:
    """The states at three keys of one concept."""
    rng = np.random.default_rng(seed)
    own, unknown = rng.normal(size=(8, 3)), rng.normal(size=(8, 5))
    return [KeyStates(here, own, unknown, 7) for here in own.T]


def test_lunar_adds_one_vector_at_every_sentence_and_rmu_leads_every_word_to_one_vector() -> None:
    every = states(1)
    moved = [LUNAR(coefficient=2).value(one) for one in every]
    expected = 2 * (every[0].unknown.mean(axis=1) - every[0].own.mean(axis=1))
    assert all(np.allclose(one, expected) for one in moved)
    ends = np.stack([one.here + RMURidge(scale=1.5).value(one) for one in every], axis=1)
    assert np.allclose(ends, ends[:, :1])
    assert np.isclose(np.linalg.norm(ends[:, 0]), 1.5 * np.linalg.norm(every[0].own, axis=0).mean())
    other = every[0].here + RMURidge(scale=1.5).value(replace(every[0], seed=8))
    assert not np.allclose(other, ends[:, 0])


@pytest.mark.parametrize("method", [LUNAR(lamb=1e-9), RMURidge(lamb=1e-9)])
def test_a_made_value_is_written_by_a_ridge(method: Any) -> None:
    """As `memit` without text to hold, each key gets its whole value; with it, the minimum of the ridge's sum."""
    given_ = memory(6)
    assert np.allclose(change(method(given_)) @ given_.keys, given_.residuals, atol=1e-5)
    D, C, K, R = change(type(method)(lamb=3.0)(given_)), given_.moment, given_.keys, given_.residuals
    assert np.abs(3.0 * D @ C + (D @ K - R) @ K.T).max() < 1e-8


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: EvoEdit(energy=0),
        lambda: EvoEdit(tau=-1),
        lambda: Joint(-1),
        lambda: UltraEdit(rate=-1),
        lambda: LUNAR(coefficient=-1),
        lambda: RMURidge(scale=-1),
    ],
)
def test_options_out_of_range(wrong: Any) -> None:
    with pytest.raises(ValueError):
        wrong()
