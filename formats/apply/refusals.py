"""Say why deltas cannot be applied to a model, all reasons at once, and what to tell about a fine-tune."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from editc.core.delta import Delta
from editc.core.diagnostics import Diagnostic, EditcError, fail
from editc.core.site_bytes import matrix_shape, stored_shape
from editc.core.text import SHOWN_ROWS, count
from editc.families.single_files import find_single_file
from editc.formats.apply import finetune, quantised
from editc.formats.apply.carried import PresentBytes, explain_refusal
from editc.formats.apply.target import TargetTensor, targets_distance
from editc.formats.models.model import Checkpoint
from editc.numerics.bits import dtypes


def check_disjoint(deltas: Sequence[Delta]) -> None:
    """Raise E624 if two of the deltas edit the same tensor."""
    counts = Counter((record.site.component, record.site.name) for delta in deltas for record in delta.sites)
    shared = sorted(name for (_, name), n in counts.items() if n > 1)
    if shared:
        raise fail(
            "E624",
            f"more than one of these deltas edits {count(len(shared), 'tensor')}, the first is '{shared[0]}'",
            help="build their manifests together into one delta, which is exact; or add these with `editc link`, which "
            "measures what they do to each other",
            notes=shared[:SHOWN_ROWS],
        )


def find_misfits(delta: Delta, opened: Mapping[str, Checkpoint], requantize: bool) -> Iterator[Diagnostic]:
    """Yield the faults of targets that cannot be edited whatever they hold: E616, E620, E621, E690 and E691, one
    diagnostic for each code."""
    packed = quantised.find_quantised_faults(delta, opened, requantize)
    reported = {name for rows in packed.values() for name in rows}
    missing, shapes, kinds = [], [], []
    for record in delta.sites:
        site, checkpoint = record.site, opened[record.site.component]
        if site.name in reported:
            continue
        if site.name not in checkpoint.tensors:
            missing.append(site.name)
        elif matrix_shape(checkpoint.shape(site.name)) != stored_shape(site):
            shapes.append(f"{site.name}: {stored_shape(site)} in the delta, {checkpoint.shape(site.name)} in the model")
        elif checkpoint.dtype(site.name) not in dtypes.EDITABLE and not quantised.is_requantisable(
            checkpoint.dtype(site.name)
        ):
            kinds.append(f"{site.name}: {checkpoint.dtype(site.name)}")
    n = len(delta.sites)
    for code, rows in packed.items():
        yield finetune.tensors_error(code, quantised.MESSAGES[code], list(rows.values()), n, quantised.HELPS[code])
    if missing:
        help_text = "is this the right component, and are its names those of diffusers, transformers or LDM?"
        if single := find_single_file(checkpoint.names()):
            help_text = f"this is {single.title}: {single.help}"
        yield finetune.tensors_error("E620", "target tensors are not in the model", missing, n, help_text)
    if shapes:
        help_text = f"the delta is for another architecture: {finetune.remedy([delta])}"
        yield finetune.tensors_error("E621", "target tensors have another shape", shapes, n, help_text)
    if kinds:
        help_text = "edit the weights before they are quantised, then quantise the result"
        yield finetune.tensors_error("E616", "target tensors have a dtype that cannot be edited", kinds, n, help_text)


def check_targets(
    targets: Sequence[TargetTensor],
    place: str,
    allow_finetune: bool,
    carried: Callable[[Iterable[PresentBytes]], Iterable[Mapping[str, Any]]],
    remedy: str,
) -> None:
    """Raise E606, E622 or E695 if targets hold other weights, and E625 if the deltas change nothing.

    `place`: what messages call the model. `carried` finds the deltas whose results are in these tensors. `remedy`: what
    the user can do instead.
    """
    bits = [t.record.site.name for t in targets if t.state == "refused" and t.factors.form == "xor"]
    if bits:
        help_text = "apply it to the very base that it was made from, or make a delta with `editc diff --form dense`"
        what = "target tensors are changed bit by bit, and the model holds other bytes than those the delta is for"
        raise EditcError(replace(finetune.tensors_error("E606", what, bits, len(targets), help_text), place=place))
    refused = [(target.record.site.name, target.distance) for target in targets if target.state == "refused"]
    if refused:
        present = ((t.record.site.component, t.record.site.name, t.base) for t in targets if t.state == "refused")
        fault = finetune.refusal_error(refused, targets_distance(targets), len(targets), allow_finetune, place, remedy)
        raise EditcError(explain_refusal(fault, carried(present)))
    if targets and all(target.state == "unchanged" for target in targets):
        help_text = "look at the manifest's edits and strength"
        raise fail("E625", "the delta changes nothing in this model", place=place, help=help_text)


def no_change_error(place: str) -> EditcError:
    """Make the error E625 for edited tensors that are all equal to their bases after rounding."""
    message = "every edited tensor is equal to its base: the edit is smaller than the dtype can hold"
    return fail("E625", message, place=place, help="apply it to a copy in F32, or build a stronger edit")


def relative_notes(delta: Delta, compared: Iterable[str], far: float) -> Iterator[str]:
    """Yield notes about a delta that is applied to other weights, at distance `far` from its base. `compared`: the
    notes of `compare_encoder`."""
    yield (
        f"the model's weights are {finetune.distance_text(far)} away from those that the delta was made for: "
        "its report does not hold for them, so verify again"
    )
    yield from compared
    if any(factors.form != "shared" for factors in delta.factors.values()):
        yield "part of this delta was computed for the weights of its base, and is added unchanged"
