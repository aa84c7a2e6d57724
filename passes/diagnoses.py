"""Errors of a solve that have the same cause for all kinds of models: E401 (singular) and E402 (NaN or infinity)."""

from __future__ import annotations

from dataclasses import dataclass

from editc.core.diagnostics import Diagnostic
from editc.core.places import Source, Span
from editc.numerics import ridge


@dataclass(frozen=True)
class SolveHelp:
    """What to do about a system that cannot be solved, for one kind of model."""

    non_finite: str
    """The help of an E402."""
    singular: str
    """The help of an E401."""


def diagnose_solve(error: Exception, span: Span | None, source: Source, help: SolveHelp) -> Diagnostic | None:
    """Make E402 of a NonFiniteError, E401 of a SingularError, at `span`. Return None for any other error."""
    if isinstance(error, ridge.NonFiniteError):
        return Diagnostic("E402", f"{error}: nothing can be solved with it", span, source, help=help.non_finite)
    if isinstance(error, ridge.SingularError):
        return Diagnostic("E401", str(error), span, source, help=help.singular)
    return None
