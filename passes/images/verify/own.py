"""A warning for concepts of which little is their own."""

from __future__ import annotations

from collections.abc import Iterator

from editc.core.diagnostics import Diagnostic
from editc.core.solution import Solution

LEAST_OWN = 0.2
"""Below this `own` a concept is nearly a mixture of other names. Chosen by hand, until more concepts are measured
(docs/explanation/forget.md)."""


def warn_little_own(solution: Solution) -> Iterator[Diagnostic]:
    """Yield an E515 for each concept that is nearly a mixture of others."""
    manifest, training = solution.problem.plan.manifest, solution.training
    for request, own in zip(manifest.image_edits, training.own if training else (), strict=False):
        if own < LEAST_OWN:
            message = f"`{request.concept}` is nearly a mixture of other names: {100 * own:.0f} % of it is its own"
            help_ = "an attack may bring it back: run some on the delta (`editc attack`), and preserve what is near it"
            yield Diagnostic("E515", message, request.at(), manifest.source, help=help_, severity="warning")
