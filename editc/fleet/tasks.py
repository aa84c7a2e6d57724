"""What is done in a cell: one function for each verb, from a cell and its folder to an outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editc.core.diagnostics import Diagnostic
from editc.core.measurements import Claim, claim_fields
from editc.fleet.cells import Cell, model_override
from editc.fleet.results.store import MODEL
from editc.fleet.verbs import call
from editc.report.record import to_plain


@dataclass(frozen=True)
class Outcome:
    """What came of a cell."""

    result: Mapping[str, Any]
    """Plain JSON values that do not depend on time, machine or engine."""
    files: tuple[str, ...] = ()
    """What lies in the cell's folder for the user, by name."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """Errors, by which the cell has failed, and warnings."""


def do_build(cell: Cell, folder: Path) -> Outcome:
    """Build the manifest for the model into the cell's folder."""
    from editc.core import verdict as verdicts

    built = call("build", cell.input, folder, [*cell.options.get("set", ()), model_override(cell)])
    assert built is not None, "a build without `after` has a result"
    result = {
        "delta_id": built.delta.delta_id if built.delta else "",
        "verdict": verdicts.as_json(built.verdict),
        "claims": _claims(built.claims),
    }
    files = tuple(sorted(path.relative_to(folder).as_posix() for path in built.files))
    return Outcome(result, files, (*built.failures, *built.warnings))


def do_apply(cell: Cell, folder: Path) -> Outcome:
    """Apply the delta to a copy of the model in the cell's folder."""
    from editc.formats.models.paths import find_model

    path = find_model(cell.model)
    out = folder / (MODEL + path.suffix if path.is_file() else MODEL)
    plan, done = call("apply", cell.input, cell.model, out=out, **cell.options)
    tensors = {f"{component}/{name}": digest for (component, name), digest in done.results.items()}
    result = {"status": done.status, "tier": plan.tier, "distance": plan.distance, "tensors": tensors}
    return Outcome(result, (out.name,))


def do_verify(cell: Cell, folder: Path) -> Outcome:
    """Measure every claim of the delta again on the model."""
    from editc.core import verdict as verdicts

    again = call("verify", cell.input, cell.model, **cell.options)
    measured = [part for part in (again.verified, *(part.verified for part in again.parts)) if part is not None]
    result = {
        "delta_id": again.delta.delta_id,
        "tier": again.tier,
        "verdicts": [verdicts.as_json(one.verdict) for one in measured],
        "claims": [claim for one in measured for claim in _claims(one.claims)],
    }
    return Outcome(result, (), (*again.failures, *again.warnings))


def do_attack(cell: Cell, folder: Path) -> Outcome:
    """Try to bring back what the delta erased from the model."""
    found = call("attack", cell.input, cell.model, **cell.options)
    result = {
        "delta_id": found.delta.delta_id,
        "tier": found.tier,
        "attacks": [one.as_recorded() for one in found.results],
        "claims": _claims(found.claims),
    }
    return Outcome(result, (), (*found.failures, *found.warnings))


TASKS: Mapping[str, Callable[[Cell, Path], Outcome]] = {
    "build": do_build,
    "apply": do_apply,
    "verify": do_verify,
    "attack": do_attack,
}
"""Verb -> what is done in a cell."""


def run_task(cell: Cell, folder: Path) -> Outcome:
    """Do what a cell is for. The result holds plain JSON values."""
    found = TASKS[cell.verb](cell, folder)
    return Outcome(to_plain(found.result), found.files, found.diagnostics)


def _claims(claims: Iterable[Claim]) -> list[Mapping[str, Any]]:
    """Claims as a report records them, with whether they hold."""
    return [{**claim_fields(claim), "holds": claim.holds} for claim in claims]
