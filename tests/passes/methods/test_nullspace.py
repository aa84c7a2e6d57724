"""Theorems of the null-space methods: what is held stands still, what is solved is a minimum, the rest is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import WIDTH, changes, rows, system

from editc import api
from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.core.problem import PreservedRows, System
from editc.core.solution import Edit
from editc.numerics import nullspace
from editc.passes.images.solve.solver import RANK_TOLERANCE, reduce_rank
from editc.passes.images.solve.strength import measure_effect
from editc.passes.methods.images.joint_ridge import stack_blocks
from editc.passes.methods.images.project import Project
from editc.passes.methods.images.speed import SPEED, invariance_keys, k_means_centres, noise_direction
from editc.passes.methods.images.uce import UCE

SEEDS = st.integers(0, 10_000)
few = settings(max_examples=15, deadline=None)
PLAIN = SPEED(filter=False, aug_num=0)


def moved(problem: System, edit: Edit, columns: Array) -> float:
    """|D P| / |W P|, the worst layer."""
    pairs = zip(changes(edit, tuple(problem.weights)), problem.weights, strict=True)
    return max(float(np.linalg.norm(D @ columns) / np.linalg.norm(W @ columns)) for D, W in pairs)


@few
@given(seed=SEEDS)
def test_project_moves_no_preserved_row_before_and_after_the_rank_is_reduced(seed: int) -> None:
    problem = system(seed)
    edit = Project()(problem)
    assert moved(problem, UCE()(problem), problem.preserved.rows) > 1e-3
    assert moved(problem, edit, problem.preserved.rows) < 1e-10
    small = reduce_rank(problem, edit, RANK_TOLERANCE, None)
    assert moved(problem, small, problem.preserved.rows) < 1e-10
    assert moved(problem, small, problem.blocks[0].keys) > 1e-2


@few
@given(seed=SEEDS)
def test_project_is_the_limit_of_uce_as_what_is_kept_gains_weight(seed: int) -> None:
    problem = system(seed)
    limit = np.vstack(changes(Project(lamb=0.5)(problem), tuple(problem.weights)))

    def away(weight: float) -> float:
        found = np.vstack(changes(UCE(lamb=0.5, preserve_scale=weight)(problem), tuple(problem.weights)))
        return float(np.linalg.norm(found - limit) / np.linalg.norm(limit))

    assert away(1e6) < 1e-4
    assert away(1e3) / away(1e4) == pytest.approx(10, rel=0.1)


@few
@given(seed=SEEDS)
def test_project_is_the_minimiser_among_changes_that_move_nothing_kept(seed: int) -> None:
    problem, rng = system(seed), np.random.default_rng(seed)
    keys, targets, weights = stack_blocks(problem.blocks, 1.0)
    basis = nullspace.free_directions(WIDTH, 1e-6, problem.preserved.rows).basis

    def objective(W: Array, D: Array) -> float:
        return float(np.sum(weights * ((W + D) @ keys - W @ targets) ** 2) + 0.5 * np.sum(D**2))

    for W, D in zip(problem.weights, changes(Project(lamb=0.5)(problem), tuple(problem.weights)), strict=True):
        best = objective(W, D)
        for size in (1e-3, 1e-1):
            step = size * rng.normal(size=D.shape)
            assert objective(W, D + step @ basis @ basis.T) > best


@pytest.mark.parametrize(("count", "kept"), [(1, 6), (2, 20), (15, 6)])
def test_project_has_at_most_the_rank_of_its_keys_and_of_what_is_free(count: int, kept: int) -> None:
    problem = system(1, kept=kept)
    blocks = tuple(replace(b, keys=rows(np.random.default_rng(i), count)) for i, b in enumerate(problem.blocks))
    blocks = tuple(replace(b, targets=b.keys[:, ::-1] + 1, weights=np.ones(count)) for b in blocks)
    edit = Project()(replace(problem, blocks=blocks))
    found = max(np.linalg.matrix_rank(D, tol=1e-9) for D in changes(edit, tuple(problem.weights)))
    assert found <= edit.stats.rank <= min(3 * count, WIDTH - kept)
    assert len(edit.right[0]) <= WIDTH


@few
@given(seed=SEEDS, tolerance=st.sampled_from([0.1, 0.3, 0.6]))
def test_what_a_tolerance_lets_move_is_bounded(seed: int, tolerance: float) -> None:
    problem = system(seed)
    room = nullspace.free_directions(WIDTH, tolerance, problem.preserved.rows)
    assert np.allclose(room.basis.T @ room.basis, np.eye(room.basis.shape[1]))
    for D in changes(Project(tolerance=tolerance)(problem), tuple(problem.weights)):
        bound = room.preserved_share * np.linalg.norm(D, 2) * np.linalg.norm(problem.preserved.rows)
        assert np.linalg.norm(D @ problem.preserved.rows) <= bound * (1 + 1e-9) + 1e-12


def test_project_states_what_it_holds_and_what_that_costs() -> None:
    notes = Project()(system(2)).stats.notes
    assert notes[0].startswith("6 of 24 directions are held, 18 are free")
    assert len(notes) == 4 and all("energy is free; residual 0." in note for note in notes[1:])
    free, held = system(2, kept=0), system(2, kept=20)
    shares = [float(Project()(p).stats.notes[1].split()[2].rstrip("%")) for p in (free, held)]
    assert shares[0] == 100 and shares[1] < 50


@pytest.mark.parametrize("method", [Project(), SPEED(threshold=1e-9), replace(PLAIN, threshold=1e-9)])
def test_nothing_free_and_no_part_in_it_are_told_apart(method: Any) -> None:
    plain = replace(method, filter=False) if isinstance(method, SPEED) else method
    with pytest.raises(nullspace.NoFreeDirectionError):
        plain(holding(np.random.default_rng(3).normal(size=(WIDTH, 40))))
    problem = system(3)
    inside = replace(problem.blocks[1], keys=problem.preserved.rows[:, :2] @ np.array([[1.0, 2.0], [0.5, -1.0]]))
    with pytest.raises(nullspace.PreservedKeysError) as error:
        plain(replace(problem, blocks=(problem.blocks[0], inside, problem.blocks[2])))
    assert error.value.index == 1


def holding(columns: Array) -> System:
    """A problem that keeps these columns, each at weight one."""
    kept = PreservedRows(
        columns @ columns.T, columns, columns[:, :2], (), keys=columns, weights=np.ones(columns.shape[1])
    )
    return replace(system(3), preserved=kept)


def reference(problem: System, W: Array, retained: Array, method: SPEED, K: Array) -> Array:
    """The paper's formula as it stands, row convention and all, with dense inverses."""
    t, a = (np.hstack([getattr(b, side) for b in problem.blocks]).T for side in ("keys", "targets"))
    S_tt, S_at, eye = t.T @ t / len(t), a.T @ t / len(t), np.eye(WIDTH)
    values, vectors = np.linalg.eigh(retained @ retained.T / retained.shape[1])
    free = vectors[:, values < method.threshold]
    P = free @ free.T
    M = np.linalg.inv(S_tt @ P + method.retain_scale * eye)
    core = np.linalg.inv(K.T @ P @ M @ K + method.lamb * np.eye(K.shape[1]))
    return np.asarray(W @ (S_at - S_tt) @ P @ (eye - M @ K @ core @ K.T @ P) @ M)


@few
@given(
    seed=SEEDS,
    lamb=st.sampled_from([0.0, 0.5]),
    filtered=st.sampled_from([None, True, False]),
    copies=st.sampled_from([0, 3]),
    empty=st.booleans(),
)
def test_speed_is_the_formula_of_the_paper(
    seed: int, lamb: float, filtered: bool | None, copies: int, empty: bool
) -> None:
    """Every combination; `empty`: one target is the row that begins every text, which is an invariance key too. Left
    out, the filter goes with the copies."""
    problem, method = system(seed, kept=10), SPEED(lamb=lamb, filter=filtered, aug_num=copies, retain_scale=0.7)
    K, drawn = rows(np.random.default_rng(seed + 1), 3), {}
    if empty:
        first, *others = problem.blocks
        problem = replace(problem, blocks=(replace(first, targets=np.tile(K[:, :1], first.keys.shape[1])), *others))

    def draw(layer: int, _: Array, shape: tuple[int, int]) -> Array:
        drawn[layer] = np.random.default_rng(layer).normal(size=shape)
        return drawn[layer]

    edit = method.solve_with(problem, K, draw)
    keys, targets, _ = stack_blocks(problem.blocks, 1.0)
    second = keys @ keys.T / keys.shape[1]
    judge = (targets - keys) @ keys.T / keys.shape[1] @ np.linalg.inv(np.eye(WIDTH) + second)
    for layer, (W, D) in enumerate(zip(problem.weights, changes(edit, tuple(problem.weights)), strict=True)):
        R = problem.preserved.keys
        if filtered or (filtered is None and copies):
            R = R[:, above_mean(W @ judge @ R)]
        if copies:
            v = noise_direction(W)
            noisy = np.hstack([R + np.outer(v, steps) for steps in drawn[layer].T])
            R = np.hstack([R, noisy[:, above_mean(W @ judge @ noisy)]])
        assert np.allclose(D, reference(problem, W, R, method, K), rtol=1e-6, atol=1e-8)


def above_mean(columns: Array) -> Any:
    sizes = np.linalg.norm(columns, axis=0)
    return sizes > sizes.mean()


@few
@given(seed=SEEDS)
def test_speed_moves_neither_what_it_retains_nor_the_invariance_keys(seed: int) -> None:
    problem = system(seed)
    empty = rows(np.random.default_rng(seed + 7), 6)
    problem = replace(problem, preserved=replace(problem.preserved, empty=empty))
    edit = PLAIN(problem)
    assert edit.form == "shared"
    assert moved(problem, edit, problem.preserved.keys) < 1e-10 and moved(problem, edit, invariance_keys(empty)) < 1e-10
    assert moved(problem, replace(PLAIN, lamb=100.0)(problem), invariance_keys(empty)) > 1e-4


def test_invariance_keys_that_are_retained_already_change_nothing_and_are_not_singular() -> None:
    problem, never = system(4), lambda *_: np.zeros(0)
    inside = problem.preserved.keys[:, :2]
    with_, without = (PLAIN.solve_with(problem, K, never) for K in (inside, inside[:, :0]))
    for one, other in zip(
        changes(with_, tuple(problem.weights)), changes(without, tuple(problem.weights)), strict=True
    ):
        assert np.allclose(one, other, rtol=1e-8, atol=1e-10)


def test_noise_is_the_seed_s() -> None:
    problem = system(5)
    found = [np.vstack(changes(SPEED(seed=seed, threshold=2.0)(problem), tuple(problem.weights))) for seed in (1, 1, 2)]
    assert np.array_equal(found[0], found[1]) and not np.allclose(found[0], found[2])


def test_the_directed_noise_runs_where_the_layer_damps_it_most() -> None:
    W = np.random.default_rng(0).normal(size=(40, WIDTH))
    v = noise_direction(W)
    assert np.linalg.norm(W @ v) == pytest.approx(np.linalg.svd(W)[1][-1]) and v[np.argmax(np.abs(v))] > 0
    assert np.allclose(noise_direction(-W), v)


def test_centres_are_means_of_their_clusters_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    middles = 10 * rng.normal(size=(5, 3))
    points = np.hstack([middles[:, [i]] + 0.1 * rng.normal(size=(5, 8)) for i in range(3)])
    wanted = np.sort(np.stack([points[:, 8 * i : 8 * i + 8].mean(axis=1) for i in range(3)], axis=1), axis=1)
    for order in (np.arange(24), rng.permutation(24)):
        assert np.allclose(np.sort(k_means_centres(points[:, order], 3), axis=1), wanted)
    assert k_means_centres(np.ones((5, 4)), 3).shape == (5, 1) and k_means_centres(np.ones((5, 0)), 3).shape == (5, 0)


@few
@given(seed=SEEDS)
def test_each_layer_of_a_layered_edit_keeps_its_own_share(seed: int) -> None:
    problem = system(seed)
    edit = SPEED()(problem)
    small = reduce_rank(problem, edit, RANK_TOLERANCE, None)
    assert len(small.right) == len(small.left) == len(problem.weights) and all(map(len, small.right))
    assert small.stats.discarded <= RANK_TOLERANCE and small.stats.rank == max(map(len, small.right))
    one = reduce_rank(problem, edit, 0.0, 1)
    assert [len(right) for right in one.right] == [1] * len(problem.weights)


def test_strength_auto_measures_a_low_rank_edit_as_it_does_a_shared_one() -> None:
    problem = system(6)
    shared = UCE()(problem)
    lefts = tuple(W @ shared.left[0] for W in problem.weights)
    wanted = measure_effect(problem, shared)
    for rights in (shared.right, shared.right * len(lefts)):
        found = measure_effect(problem, Edit("low-rank", lefts, rights, shared.stats))
        assert found.residuals == pytest.approx(wanted.residuals)
        assert found.preserve_drift == pytest.approx(wanted.preserve_drift)
        assert found.unconditional_drift == pytest.approx(wanted.unconditional_drift)


ERASE = "editc: 1\nmodel: editc:demo\nedits:\n  - erase: circle\n    to: square\n"


def built(folder: Path, rest: str) -> Any:
    (folder / "m.yaml").write_text(ERASE + rest)
    found = api.build(folder / "m.yaml", folder / "out")
    assert found is not None and found.delta is not None
    return found


def claims(found: Any) -> dict[str, float]:
    return {claim.name: claim.value for claim in found.verified.report.claims}


def test_project_on_the_demo_model_moves_a_kept_prompt_by_rounding_alone(tmp_path: Path) -> None:
    """Float16 has 11 bits: what is left of the drift is the rounding of the weights on file."""
    found = claims(built(tmp_path, "    method: project\npreserve: {corpus: none, prompts: [a triangle]}\n"))
    assert max(found["named_drift"], found["unconditional_drift"]) < 2e-3
    assert found["preserve_drift"] == found["default_drift"] > 0.1, "the default list is measured and not kept"
    assert found["erase_residual"] < 0.8


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ("    method: project\n", "E410"),
        ("    method: project\npreserve: {prompts: [a star, a tree, a house, a fish]}\n", "E41"),
        ("    method: project\n    keys: last\n    hold: keys\npreserve: {prompts: [circle]}\n", "E411"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(rest: str, code: str, tmp_path: Path) -> None:
    with pytest.raises(EditcError) as error:
        built(tmp_path, rest)
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.code.startswith(code) and diagnostic.span is not None and diagnostic.help
    assert not (tmp_path / "out" / "delta.safetensors").exists()


def test_speed_on_the_demo_model_is_written_layer_by_layer_and_measures_again(tmp_path: Path) -> None:
    rest = "    method: speed\n    keys: last\npreserve: {concepts: [triangle, star, tree, house]}\nseed: 3\n"
    found = built(tmp_path, rest)
    factors = found.delta.factors["text"]
    assert factors.form == "low-rank" and len(factors.right) == len(factors.sites) == 14
    assert found.delta.edits[0]["options"]["seed"] == 3
    assert claims(found)["erase_residual"] < 0.8
    again = api.verify(tmp_path / "out" / "delta.safetensors", "editc:demo")
    assert not again.failures
