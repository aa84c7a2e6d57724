"""Whether weights that no hash knows are a fine-tune of a delta's base: how far from it, and the refusal of others."""

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
"""|W - W0| / |W0| up to which weights count as a fine-tune of W0, for each tensor and for all together.
Measured in docs/explanation/fingerprints.md: tensors of fine-tunes up to 0.33, of another training from 1.2 on."""


def distance(record: SiteRecord, raw: bytes, dtype: str) -> float:
    """About |W - W0| / |W0| of a tensor's bytes from the base that the record was made of."""
    return array_distance(record, dtypes.decode(raw, dtype, stored_shape(record.site)))


def array_distance(record: SiteRecord, stored: Array) -> float:
    """`distance` of weights that are decoded already, shaped as the file holds them."""
    W = stored.reshape(stored_shape(record.site))
    return sketch.distance(record.sketch, W.T if record.site.transposed else W)


def joint_distance(found: Sequence[tuple[SiteRecord, float]]) -> float:
    """The distance of several tensors, each weighted by the size of its base."""
    return sketch.joint_distance((far, sketch.norm(record.sketch)) for record, far in found)


def remedy(deltas: Iterable[Delta]) -> str:
    """What to do where a delta is for another model: those that `editc diff` made have no manifest to build."""
    if any(edit.get("kind") == "diff" for delta in deltas for edit in delta.edits):
        return "make the edit on this model with the program that made it, and `editc diff` the two"
    return "build the manifest against this model"


def refusal_error(
    found: Sequence[tuple[str, float]], far: float, total: int, allowed: bool, place: str, remedy: str
) -> Diagnostic:
    """The error for the tensors in `found` (name, distance) of `total`: E622 where a fine-tune was not `allowed`, and
    E695 where it was and they are none. `far` is the distance of all together, `remedy` what else can be done."""
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
    """A distance in words, with the two digits that a sketch knows."""
    return f"about {float(f'{100 * distance:.2g}'):g} %" if math.isfinite(distance) else "without measure"


def tensors_error(code: str, what: str, rows: Sequence[str], total: int, help_text: str) -> Diagnostic:
    """One diagnostic for many tensors; each row begins with a tensor's name and a colon."""
    message = f"{len(rows)} of {total} {what}, the first is '{rows[0].split(':')[0]}'"
    return Diagnostic(code, message, help=help_text, notes=first_rows(rows))
