"""Deltas that a model carries as far as its journal tells, where another one finds neither its base nor its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from editc.core.diagnostics import Diagnostic
from editc.core.text import first_names
from editc.formats.apply import journal

SHORT = 12
"""Digits of a delta's id."""


def carried_deltas(
    found: Iterable[tuple[str, str, str]], journal_place: journal.JournalPlace
) -> tuple[Mapping[str, Any], ...]:
    """The recorded deltas whose results stand in tensors, given as (component, name, sha256 of what it holds)."""
    held = set(found)
    known: dict[str, Mapping[str, Any]] = {}
    for entry in journal.entries(journal_place):
        written = {part.delta for part in entry.ranges if (part.component, part.name, part.result) in held}
        known |= {one["delta_id"]: one for one in entry.deltas if one["delta_id"] in written}
    return tuple(known.values())


def explain_refusal(fault: Diagnostic, deltas: Iterable[Mapping[str, Any]]) -> Diagnostic:
    """The refusal of a model's weights with its cause: another delta is in them. Unchanged where `deltas` is empty."""
    named = " and ".join(f"{_edits(one)} (delta {one['delta_id'][:SHORT]})" for one in deltas)
    if not named:
        return fault
    help_text = (
        "apply to the unedited base what `editc link` makes of both deltas, or build both edits in one manifest, which "
        "is exact; `editc revert` takes the last one out"
    )
    return replace(fault, message=f"this model already carries {named}: {fault.message}", help=help_text)


def _edits(delta: Mapping[str, Any]) -> str:
    edits = delta.get("edits")
    names = [str(one.get("concept") or one.get("group") or "?") for one in edits or () if isinstance(one, Mapping)]
    return first_names([f"`{name}`" for name in names], 3) or "an edit"
