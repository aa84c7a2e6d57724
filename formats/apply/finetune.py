"""Decide by distance whether unknown weights are a fine-tune of a delta's base, and refuse others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from editc.core.delta import Array, Delta, SiteRecord
from editc.core.diagnostics import Diagnostic
from editc.core.site_bytes import stored_shape
from editc.core.text import first_rows
from editc.numerics.bits import dtypes, sketch

FARTHEST = 0.5
"""The largest |W - W0| / |W0| at which weights count as a fine-tune of W0, for each tensor and for all together.
Measured in docs/explanation/fingerprints.md: tensors of fine-tunes reach 0.33, and tensors of another training begin at
1.2."""


def distance(record: SiteRecord, raw: bytes, dtype: str) -> float:
    """Estimate |W - W0| / |W0| for a tensor's bytes, as the file holds them, from the sketch of the record's base
    W0."""
    return array_distance(record, dtypes.decode(raw, dtype, stored_shape(record.site)))


def array_distance(record: SiteRecord, stored: Array) -> float:
    """Estimate `distance` for decoded weights in the shape that the file holds."""
    W = stored.reshape(stored_shape(record.site))
    return sketch.distance(record.sketch, W.T if record.site.transposed else W)


def joint_distance(found: Sequence[tuple[SiteRecord, float]]) -> float:
    """The distance of several tensors together, each weighted by the norm of its base. `found`: (record, distance) of
    each."""
    return sketch.joint_distance((far, sketch.norm(record.sketch)) for record, far in found)


def remedy(deltas: Iterable[Delta]) -> str:
    """Say what to do if a delta is for another model. A delta that `editc diff` made has no manifest to build again."""
    if any(edit.get("kind") == "diff" for delta in deltas for edit in delta.edits):
        return "make the edit on this model with the program that made it, and `editc diff` the two"
    return "build the manifest against this model"


def refusal_error(
    found: Sequence[tuple[str, float]], far: float, total: int, allowed: bool, place: str, remedy: str
) -> Diagnostic:
    """Make the error for tensors with unknown weights: E622 if a fine-tune was not `allowed`, E695 if it was and they
    are too far from the base.

    `found`: (name, distance) of each refused tensor out of `total`. `far`: the distance of all targets together.
    `remedy`: what else the user can do.
    """
    near = far <= FARTHEST and all(distance <= FARTHEST for _, distance in found)
    what = "target tensors hold other weights than the delta was made for, neither its base nor its result"
    help_text = f"these weights were trained apart from the delta's base; {remedy}"
    if allowed:
        what = f"target tensors are too far from the delta's base to be a fine-tune of it: the limit is {FARTHEST:.0%}"
    elif near:
        help_text = (
            "if this is a fine-tune of the base, --allow-finetune recomputes the edit on its own weights; "
            "what the delta claims was measured on the base only"
        )
    rows = [f"{name}: {distance_text(distance)}" for name, distance in found]
    fault = tensors_error("E695" if allowed else "E622", what, rows, total, help_text)
    notes = (f"all edited tensors together are {distance_text(far)} away from the base", *fault.notes)
    return replace(fault, place=place, notes=notes)


def distance_text(distance: float) -> str:
    """Write a distance for the user, with two digits: a sketch tells no more."""
    return f"about {float(f'{100 * distance:.2g}'):g} %" if math.isfinite(distance) else "immeasurably far"


def tensors_error(code: str, what: str, rows: Sequence[str], total: int, help_text: str) -> Diagnostic:
    """Make one diagnostic for many tensors. Each row begins with a tensor's name and a colon."""
    message = f"{len(rows)} of {total} {what}, the first is '{rows[0].split(':')[0]}'"
    return Diagnostic(code, message, help=help_text, notes=first_rows(rows))
