"""The records of the edits of an image model in a delta."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from editc.core.manifest import Request
from editc.core.plan import Plan
from editc.core.solution import Solution
from editc.passes.images.solve import moderate


def record_edits(solution: Solution) -> Iterator[Mapping[str, Any]]:
    """Yield one record for each edit, in the order of the manifest."""
    requests = solution.problem.plan.manifest.image_edits
    found = {one.index: moderate.as_json(one) for one in solution.pull_searches}
    for index, (request, method, strength) in enumerate(
        zip(requests, solution.methods, solution.strengths, strict=True)
    ):
        yield {
            "kind": request.kind,
            "concept": request.concept,
            "also": list(request.also),
            "to": _target(request, solution.problem.plan),
            "toward": dict(request.toward),
            "keys": solution.problem.plan.manifest.keys,
            "strength": strength,
            "scale": request.scale,
            **attribute_fields(request),
            **method,
            **({"shares": found[index]} if index in found else {}),
        }


def attribute_fields(request: Request) -> dict[str, Any]:
    """What an edit with `from` takes out of what, as deltas and reports record it. Empty for every other edit."""
    one = request.attribute
    return {} if one is None else {"from": {"attribute": one.name, "thing": one.thing, "phrases": list(one.phrases)}}


def _target(request: Request, plan: Plan) -> str:
    """Return the target of an edit: its `to`, or the neutral concept; '' for an adapter, whose target is unknown."""
    return "" if request.kind == "fuse" else plan.family.neutral if request.to is None else request.to
