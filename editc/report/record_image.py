"""The fields of report.json that only an image model's build has: its edits and solves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from editc.core.manifest import Request
from editc.core.solution import Edit, Solution, Verified
from editc.passes.images.solve import moderate
from editc.passes.images.solve.record import attribute_fields
from editc.report.record_solve import describe_solve
from editc.report.training import training_fields


def kind_fields(verified: Verified) -> Mapping[str, Any]:
    """Return the fields of report.json that only such a build has."""
    solution = verified.solution
    requests = solution.problem.plan.manifest.image_edits
    return {
        "edits": [_edit(solution, index, request) for index, request in enumerate(requests)],
        "solves": [_solve(solution, group, edit) for group, edit in solution.edits.items()],
        **training_fields(solution.training, [request.concept for request in requests]),
    }


def _edit(solution: Solution, index: int, request: Request) -> Mapping[str, Any]:
    """Return what one edit asked for and what it got. `keys` counts columns, over all its names and contexts."""
    found = [moderate.as_json(one) for one in solution.pull_searches if one.index == index]
    blocks = [system.blocks[index] for system in solution.problem.systems.values() if system.blocks]
    method = solution.methods[index]
    return {
        "kind": request.kind,
        "concept": request.concept,
        "also": request.also,
        "to": request.to,
        "neutral": solution.problem.plan.family.neutral,
        "toward": [{"concept": name, "share": share} for name, share in request.toward],
        "shares": found[0] if found else None,
        "method": method["method"],
        "options": method["options"],
        **attribute_fields(request),
        "rows": solution.problem.plan.manifest.keys,
        "asked": request.strength,
        "strength": solution.strengths[index],
        "keys": sum(block.keys.shape[1] for block in blocks),
        "line": place.line if (place := request.at()) else None,
    }


def _solve(solution: Solution, group: str, edit: Edit) -> Mapping[str, Any]:
    """Return the solve of one group, with the number of edited keys and of preserved rows."""
    system = solution.problem.systems[group]
    keys = {
        "keys": sum(block.keys.shape[1] for block in system.blocks),
        "kept_rows": system.preserved.count or system.preserved.rows.shape[1],
    }
    return {**describe_solve(solution.problem.plan, group, edit), **keys}
