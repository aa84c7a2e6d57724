"""Theorems of the numerics: the solve is the minimiser, the reduction is the best of its rank, products compose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import WIDTH, changes, gram_of, rows, system

from editc.core.delta import Array
from editc.core.problem import System
from editc.numerics import adversary, drift, ridge, subspace
from editc.passes.methods.images.joint_ridge import stack_blocks
from editc.passes.methods.images.uce import UCE

SEEDS = st.integers(0, 10_000)
few = settings(max_examples=15, deadline=None)


def objective(problem: System, edited: Sequence[Array], lamb: float) -> float:
    keys, targets, weights = stack_blocks(problem.blocks, 1.0)
    total = 0.0
    for W, E in zip(problem.weights, edited, strict=True):
        total += float(np.sum(weights * (E @ keys - W @ targets) ** 2))
        total += float(np.trace((E - W) @ problem.preserved.moment @ (E - W).T)) + lamb * float(np.sum((E - W) ** 2))
    return total


@few
@given(seed=SEEDS)
def test_no_step_in_any_direction_lowers_the_objective(seed: int) -> None:
    problem, rng = system(seed), np.random.default_rng(seed + 1)
    edited = [W + D for W, D in zip(problem.weights, changes(UCE()(problem), tuple(problem.weights)), strict=True)]
    best = objective(problem, edited, 0.5)
    for size in (1e-3, 1e-1):
        moved = [E + size * rng.normal(size=E.shape) for E in edited]
        assert objective(problem, moved, 0.5) > best


@few
@given(seed=SEEDS, rank=st.integers(1, 5))
def test_reduction_is_the_best_of_its_rank(seed: int, rank: int) -> None:
    """Its objective grows by exactly the squared tail, and no other edit of that rank that we try does better."""
    problem = system(seed)
    edit = UCE()(problem)
    keys, _, weights = stack_blocks(problem.blocks, 1.0)
    factor = ridge.factorise(ridge.normal_matrix(keys, weights, problem.preserved.moment, 0.5))
    gram = edit.left[0].T @ problem.total_gram() @ edit.left[0]
    small = subspace.reduce(edit.right[0], subspace.square_root(gram), factor, 0.0, rank)
    assert small.right.shape == (rank, WIDTH)

    def cost(left: Array, right: Array) -> float:
        return objective(problem, [W + (W @ left) @ right for W in problem.weights], 0.5)

    whole = cost(edit.left[0], edit.right[0])
    size = sum(np.linalg.norm(change @ factor.lower) ** 2 for change in changes(edit, tuple(problem.weights)))
    found = cost(edit.left[0] @ small.mix, small.right)
    assert found - whole == pytest.approx(small.discarded**2 * size, rel=1e-6)
    u, s, v = np.linalg.svd(edit.left[0] @ edit.right[0])
    assert found <= cost(u[:, :rank] * s[:rank], v[:rank]) * (1 + 1e-9)


def test_rank_is_the_least_within_the_tolerance() -> None:
    values = np.array([1.0, 1e-1, 1e-3, 1e-6])
    assert [subspace.rank_for(values, t) for t in (0.0, 1e-5, 1e-2, 0.5)] == [4, 3, 2, 1]
    assert subspace.rank_for(values, 0.0, most=2) == 2
    assert subspace.rank_for(np.zeros(3), 0.0) == 0


@few
@given(seed=SEEDS)
def test_composition_is_the_product(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, c, d = (rng.normal(size=shape) for shape in ((9, 2), (2, 9), (9, 3), (3, 9)))
    left, right = subspace.compose(a, b, c, d)
    eye = np.eye(9)
    assert np.allclose(eye + left @ right, (eye + a @ b) @ (eye + c @ d))


@few
@given(seed=SEEDS)
def test_more_keys_than_dimensions_give_the_same_edit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys, targets, moment = rows(rng, 60), rows(rng, 60), np.eye(WIDTH)
    whole = ridge.solve(keys, targets, np.ones(60), moment, 0.1)
    by_key = ridge.solve(keys, targets, np.ones(60), moment, 0.1, per_key=True)
    assert whole.left.shape == (WIDTH, WIDTH)
    assert np.allclose(whole.left @ whole.right, by_key.left @ by_key.right, atol=1e-10)
    assert whole.residual < 1e-12


@few
@given(seed=SEEDS)
def test_condition_is_near_the_true_one(seed: int) -> None:
    A = rows(np.random.default_rng(seed), 40)
    normal = A @ A.T + np.eye(WIDTH)
    true = np.linalg.cond(normal, 1)
    assert true / 3 <= ridge.factorise(normal).condition <= true * (1 + 1e-9)


@pytest.mark.parametrize("spread", [0.0, 1e-17])
def test_singular_matrices_are_refused(spread: float) -> None:
    with pytest.raises(ridge.SingularError):
        ridge.factorise(np.diag([1.0, 1.0, spread]))


@few
@given(seed=SEEDS, r=st.floats(1e-3, 1.0))
def test_a_derived_key_minimises_its_own_objective(seed: int, r: float) -> None:
    """Eq. 8: with regzero, sum_l |W_l c' - W_l,0 c|^2 + r |c'|^2 has no lower neighbour."""
    problem, rng = system(seed), np.random.default_rng(seed)
    first = problem.weights
    now = [W + D for W, D in zip(first, changes(UCE()(problem), tuple(first)), strict=True)]
    keys = problem.blocks[0].keys
    gram, cross = gram_of(now), gram_of(now, first)
    found = adversary.derive(keys, keys, gram, cross, r, "regzero")

    def cost(c: Array) -> float:
        parts = [np.sum((W @ c - W0 @ keys) ** 2) for W, W0 in zip(now, first, strict=True)]
        return float(sum(parts) + r * np.sum(c**2))

    for size in (1e-3, 1e-1):
        assert cost(found + size * rng.normal(size=found.shape)) > cost(found)


def test_ratios_of_nothing() -> None:
    assert drift.ratio(0.0, 0.0) == 0.0
    assert drift.ratio(1.0, 0.0) == float("inf")
    one = np.ones((2, 2))
    assert drift.residual(one, one, 2 * one) == 1.0
    assert drift.residual(one, 2 * one, 2 * one) == 0.0
    assert drift.drift(one, 1.5 * one) == pytest.approx(0.5)
