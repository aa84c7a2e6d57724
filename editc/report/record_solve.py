"""What report.json says of the solve of one group of sites, for both kinds of model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from editc.core.plan import Plan
from editc.core.solution import Edit


def describe_solve(plan: Plan, group: str, edit: Edit) -> Mapping[str, Any]:
    """Return the form of the group's edit, its rank and size in bytes, and the figures and notes of the solve: None
    where nothing was solved."""
    solved = edit.stats.solved
    return {
        "group": group,
        "form": edit.form,
        "sites": len(plan.sites_of(group)),
        "rank": edit.stats.rank,
        "condition": edit.stats.condition if solved else None,
        "residual": edit.stats.residual if solved else None,
        "discarded": edit.stats.discarded if solved else None,
        "bytes": 4 * sum(factor.size for factor in (*edit.left, *edit.right)),
        "notes": edit.stats.notes,
    }
