"""What is preserved gets more weight where the default one would let it move too far.

A list for one model names a few things often. The list for a model that brings none is about everything, so each thing
in it counts little, and the same weight protects it less (docs/measurements/second-world.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from editc.core.manifest import Manifest
from editc.core.problem import System
from editc.core.solution import Edit
from editc.passes.images.solve.outputs import Outputs
from editc.passes.images.solve.strength import Effect, measure_effect

DRIFT = 0.12
"""The drift up to which the weight stays as it is: the most of the six edits of the demo model, which cost the other
objects 0.1 points together (docs/measurements/erasure.md)."""
RESIDUAL = 0.63
"""The residual beyond which no more weight is given: with more weight, six edits of the demo model erase wholly up to
here and leave pictures from 0.64 on (docs/measurements/second-world.md)."""
STEP = 1.6
"""The ratio of two weights that are tried after each other. Chosen by hand: drift then falls by a sixth."""
STEPS = 8
"""How many steps are tried at most: 1.6^8 is 43 times the weight."""


@dataclass(frozen=True, eq=False)
class Weighed:
    """A system with the weight of what is preserved that was found."""

    system: System
    """The system with this weight."""
    factor: float
    """How many times the default the weight is."""
    edit: Edit
    """The edit that solves it."""


def weigh(system: System, solve: Callable[[System], Edit], manifest: Manifest) -> Weighed:
    """The system with the least weight of what is preserved at which the drift is at most DRIFT; with less weight
    where the residual would exceed RESIDUAL, or the manifest's bound on it.

    More weight lowers the drift and raises the residual, so bisection over STEPS ratios finds it, with a solve each.
    """
    bound = manifest.constraints.erase_residual
    most = RESIDUAL if bound is None else min(RESIDUAL, bound)

    def heavier(step: int) -> System:
        preserved = system.preserved
        factor = STEP**step
        scaled = replace(preserved, moment=factor * preserved.moment, weights=factor * preserved.weights)
        return replace(system, preserved=scaled)

    outputs = Outputs.of(system)  # of the lists' rows, which no weight changes
    edits: dict[int, Edit] = {}

    def effect(step: int) -> Effect:
        made = heavier(step) if step else system
        edits[step] = solve(made)
        return measure_effect(made, edits[step], outputs=outputs)

    step = _least_step(effect, most)
    return Weighed(heavier(step) if step else system, STEP**step, edits[step])


def _least_step(effect: Callable[[int], Effect], most: float) -> int:
    """The least step whose drift is at most DRIFT, or the last one whose residuals are at most `most`; 0 for none."""
    if effect(0).preserve_drift <= DRIFT:
        return 0
    low, high, fits = 0, STEPS + 1, False  # at `low` the drift is too large; at `high` it is not, or the residual is
    while high - low > 1:
        middle = (low + high) // 2
        found = effect(middle)
        too_near = max(found.residuals) > most
        if too_near or found.preserve_drift <= DRIFT:
            high, fits = middle, not too_near
        else:
            low = middle
    return high if fits else low
