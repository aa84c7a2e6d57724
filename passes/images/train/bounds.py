"""The stop rule of a training by the manifest's bounds: it ends where a drift would pass its bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.problem import Problem
from editc.core.solution import Edit
from editc.passes.images.solve.outputs import Outputs
from editc.passes.images.solve.strength import MARGIN, measure_effect

BOUNDS = ("preserve_drift", "unconditional_drift")
"""The bounds that are watched. They are measured on matrices that read the text, without a picture."""


@dataclass(frozen=True)
class Watch:
    """Measures the drifts of a training as it stands."""

    problem: Problem
    """What is trained for."""
    edits: Callable[[], Mapping[str, Edit]]
    """The edit of each group, as a delta would have it now."""
    outputs: Mapping[str, tuple[Outputs, ...]]
    """Those of each group that reads the text."""

    def broken(self) -> str:
        """Which bound does not hold, in words; '' where all hold. Bounds are tightened by half a percent, because
        verify measures the rounded weights."""
        systems, edits = self.problem.systems, self.edits()
        found = [measure_effect(systems[group], edits[group], outputs=known) for group, known in self.outputs.items()]
        for name, bound in watched_bounds(self.problem).items():
            value = max((getattr(one, name) for one in found), default=0.0)
            if value > MARGIN * bound:
                return f"{name} would be {value:.3g}, and {bound:g} is allowed"
        return ""


def watch_bounds(problem: Problem, edits: Callable[[], Mapping[str, Edit]]) -> Watch | None:
    """What to ask as the training goes on. None: the manifest bounds no drift."""
    if not watched_bounds(problem):
        return None
    reading = {group: system for group, system in problem.systems.items() if system.preserved.empty.size}
    return Watch(problem, edits, {group: Outputs.of(system) for group, system in reading.items()})


def watched_bounds(problem: Problem) -> Mapping[str, float]:
    """Name -> the bound of the manifest, of those that are watched and that it has."""
    asked = problem.plan.manifest.constraints
    return {name: getattr(asked, name) for name in BOUNDS if getattr(asked, name) is not None}


def refuse_standstill(problem: Problem, stopped: str, steps: int) -> None:
    """Raises E405: the bound was passed before the first check after the start, so that nothing is trained."""
    manifest = problem.plan.manifest
    name = next(one for one in BOUNDS if stopped.startswith(one))
    message = f"training cannot keep a bound: after {steps} steps {stopped}"
    help_ = (
        f"allow a larger `{name}`; or write `free: true` where the method has it, which moves nothing that is "
        "preserved; or train layers that read no text"
    )
    raise EditcError(Diagnostic("E405", message, manifest.constraints.at(name), manifest.source, help=help_))
