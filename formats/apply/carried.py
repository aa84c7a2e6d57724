"""Name the other deltas in a model, by its journal, where a tensor holds neither the base nor the result of the delta
to apply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from editc.core.diagnostics import Diagnostic
from editc.core.text import first_names
from editc.formats.apply import journal

SHORT = 12
"""The number of digits of a delta's id that a message shows."""
PresentBytes: TypeAlias = tuple[str, str, str]
"""What a tensor holds: its component, its name, and the sha256 of its present bytes."""


def carried_deltas(found: Iterable[PresentBytes], journal_place: journal.JournalPlace) -> tuple[Mapping[str, Any], ...]:
    """Find the recorded deltas whose results are in these tensors."""
    present = set(found)
    known: dict[str, Mapping[str, Any]] = {}
    for entry in journal.entries(journal_place):
        written = {part.delta for part in entry.ranges if (part.component, part.name, part.result) in present}
        known |= {one["delta_id"]: one for one in entry.deltas if one["delta_id"] in written}
    return tuple(known.values())


def explain_refusal(fault: Diagnostic, deltas: Iterable[Mapping[str, Any]]) -> Diagnostic:
    """Add the cause to a refusal of the model's weights: other deltas are in them. Returns `fault` unchanged if there
    are none."""
    named = " and ".join(f"{name_edits(one.get('edits'))} (delta {one['delta_id'][:SHORT]})" for one in deltas)
    if not named:
        return fault
    help_text = (
        "apply to the unedited base what `editc link` makes of both deltas, or build both edits in one manifest, which "
        "is exact; `editc revert` takes the last one out"
    )
    return replace(fault, message=f"this model already carries {named}: {fault.message}", help=help_text)


def name_edits(edits: Any) -> str:
    """Name a delta's edits by concept or group; at most three. `edits`: a sequence of mappings, as a file has it."""
    names = [str(one.get("concept") or one.get("group") or "?") for one in edits or () if isinstance(one, Mapping)]
    return first_names([f"`{name}`" for name in names], 3) or "an edit"
