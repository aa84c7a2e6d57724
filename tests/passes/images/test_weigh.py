"""The weight of what is preserved: the least at which the drift is small, and none that would leave the concept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import systems

from editc.core.manifest import Constraints, Manifest, Request
from editc.core.places import Source
from editc.core.problem import System
from editc.core.solution import Edit
from editc.passes.images.solve import weigh as module
from editc.passes.images.solve.strength import Effect, measure_effect
from editc.passes.images.solve.weigh import DRIFT, RESIDUAL, STEP, STEPS, weigh
from editc.passes.methods.images.uce import UCE


def manifest(bound: float | None = None) -> Manifest:
    edits = (Request(kind="erase", concept="concept 0", to="x"),)
    asked = Constraints(erase_residual=bound)
    return Manifest(source=Source("m", ""), digest="0" * 64, model="m", edits=edits, constraints=asked)


class Solver:
    """Counts its solves; residual and drift of the edit of a weight are given."""

    def __init__(self, effects: Sequence[tuple[float, float]], monkeypatch: pytest.MonkeyPatch) -> None:
        self.effects, self.solved, self.first = effects, list[int](), 0.0
        monkeypatch.setattr(
            module, "measure_effect", lambda system, step, outputs: Effect((effects[step][0],), effects[step][1], 0)
        )

    def __call__(self, system: System) -> Edit:
        step = next(n for n in range(STEPS + 1) if system.preserved.moment[0, 0] == STEP**n * self.first)
        self.solved.append(step)
        return step  # type: ignore[return-value]


@pytest.mark.parametrize("least", range(STEPS + 2))
@pytest.mark.parametrize("nearest", range(STEPS + 2))
def test_it_is_the_least_weight_of_little_drift_or_the_last_that_erases(
    least: int, nearest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drift is small from step `least` on, the residual too large from step `nearest` on."""
    effects = [(0.9 if n >= nearest else 0.3, 0.05 if n >= least else 0.3) for n in range(STEPS + 1)]
    solver, system = Solver(effects, monkeypatch), systems.system(3)
    solver.first = float(system.preserved.moment[0, 0])
    found, step = weigh(system, solver, manifest()), min(least, max(0, nearest - 1), STEPS)
    solved: object = found.edit
    assert found.factor == STEP**step and solved == step
    assert found.system.preserved.moment == pytest.approx(found.factor * system.preserved.moment)
    assert (found.system is system) == (step == 0)
    assert len(solver.solved) <= 5 and (least > 0 or solver.solved == [0])


@pytest.mark.parametrize("seed", range(4))
def test_drift_falls_and_the_residual_rises_with_the_weight(seed: int) -> None:
    """What the bisection relies on, for the default method."""
    system = systems.system(seed)
    effects = []
    for step in range(STEPS + 1):
        preserved = replace(system.preserved, moment=STEP**step * system.preserved.moment)
        made = replace(system, preserved=preserved)
        effects.append(measure_effect(made, UCE()(made)))
    for less, more in pairwise(effects):
        assert max(more.residuals) >= max(less.residuals) - 1e-12
    assert effects[-1].preserve_drift < effects[0].preserve_drift


def test_a_bound_of_the_manifest_is_not_broken_by_more_weight() -> None:
    system = systems.system(5)
    plain = max(measure_effect(system, UCE()(system)).residuals)
    bound = min(RESIDUAL, plain * 1.02)
    found = weigh(system, UCE(), manifest(bound)).system
    after = measure_effect(found, UCE()(found))
    assert max(after.residuals) <= max(bound, plain) and (
        after.preserve_drift <= DRIFT or max(after.residuals) >= plain
    )
