"""Decide what loading deltas would do to a model in memory, by hashing its weights. The rules are those of `apply`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from editc.core.delta import Delta, Factors
from editc.core.diagnostics import Diagnostic, fail
from editc.core.text import count
from editc.formats.apply import finetune
from editc.formats.apply.refusals import check_disjoint
from editc.formats.apply.target import TIERS, TargetTensor, Tier
from editc.formats.models.model import Checkpoint, Tensor
from editc.live.components import LiveModel
from editc.live.history import loaded_deltas
from editc.live.judge import judge_targets
from editc.live.slots import Slot, find_slots, named_tensors
from editc.live.storage import identity, locate, read
from editc.live.tensors import describe

STRONGEST = 1.5
"""The largest strength, as for the edits in a manifest."""


@dataclass(frozen=True)
class LoadPlan:
    """The targets of all deltas in one model in memory."""

    place: str
    """What messages call the model."""
    deltas: tuple[Delta, ...]
    """The deltas, in the order in which the caller gave them."""
    targets: tuple[TargetTensor, ...]
    """The targets, delta by delta. Weights that are tied are one target."""
    slots: Mapping[tuple[str, str], Slot]
    """(component, name of a site) -> where it is."""
    notes: tuple[str, ...]
    """Sentences for the user."""
    strength: float
    """How much of each edit is made."""

    def slot(self, target: TargetTensor) -> Slot:
        """Where a target is."""
        return self.slots[target.record.site.component, target.record.site.name]

    @property
    def pending(self) -> tuple[TargetTensor, ...]:
        """The targets that are still to be written."""
        return tuple(target for target in self.targets if target.pending)

    @property
    def status(self) -> Literal["ready", "already"]:
        """`ready`, or `already` if no tensor is left to write."""
        return "ready" if self.pending else "already"

    @property
    def tier(self) -> Tier:
        """The loosest match among the tensors to write; `exact` if there are none."""
        found = {target.state for target in self.targets}
        return max((tier for tier in TIERS if tier in found), key=TIERS.index, default="exact")


def plan_load(deltas: Sequence[Delta], model: LiveModel, strength: float, allow_finetune: bool) -> LoadPlan:
    """Hash every target and plan the load; nothing is changed.

    Raises all faults of the targets at once, as `plan_apply` does (E615, E616, E620 to E622, E624, E625, E690, E691,
    E695, E606), E643 for a strength, and E644 for weights that cannot be edited where they are.
    """
    check_disjoint(deltas)
    _check_strength(deltas, strength)
    slots = _find_sites(deltas, model)
    opened = {part: _describe_component(model, part, slots) for part in _components(deltas)}
    carried = partial(loaded_deltas, slots=slots)

    def read_matrix(component: str, name: str) -> bytes:
        return read(slots[component, name])

    def compare(delta: Delta) -> Iterable[str]:
        from editc.formats.apply.encoder_marks import compare_encoder
        from editc.live.encoders import LiveEncoders, LiveTensors

        parts = [LiveTensors.of(model.component(part)) for part in _components([delta])]
        return compare_encoder(delta, LiveEncoders(model), parts)

    faults = _unreachable(slots)
    targets, notes = judge_targets(deltas, opened, read_matrix, model.place, allow_finetune, carried, faults, compare)
    targets = [*_untie(targets, slots, model.place)]
    if strength != 1:
        _check_unedited(targets, model.place)
        targets = [_scaled(target, strength) for target in targets]
        notes.append(f"at strength {strength:g} this is another edit: what the delta claims was measured at 1")
    return LoadPlan(model.place, tuple(deltas), tuple(targets), slots, tuple(notes), strength)


def _components(deltas: Sequence[Delta]) -> Sequence[str]:
    """The components that the deltas edit, sorted."""
    return sorted({record.site.component for delta in deltas for record in delta.sites})


def _find_sites(deltas: Sequence[Delta], model: LiveModel) -> Mapping[tuple[str, str], Slot]:
    """Find every site of the deltas that the model has. Raises E615."""
    found: dict[tuple[str, str], Slot] = {}
    for part in _components(deltas):
        names = [r.site.name for delta in deltas for r in delta.sites if r.site.component == part]
        slots = find_slots(model.component(part), names)
        found |= {(part, name): slot for name, slot in slots.items()}
    return found


def _describe_component(model: LiveModel, part: str, slots: Mapping[tuple[str, str], Slot]) -> Checkpoint:
    """The tensors of a component as a checkpoint describes them: its own names, and the sites under theirs."""
    place = Path(model.place, part)
    found: dict[str, Tensor] = {
        name: describe(values, place) for name, values in named_tensors(model.component(part)).items()
    }
    for (component, name), slot in slots.items():
        copies = locate(slot).copies
        if component == part and copies:
            found[name] = describe(slot.matrix(copies[0]), place)
    return Checkpoint(part, found)


def _unreachable(slots: Mapping[tuple[str, str], Slot]) -> Iterator[Diagnostic]:
    """Yield E644 if weights cannot be edited where they are."""
    faults = {name: why for (_, name), slot in slots.items() if (why := locate(slot).fault)}
    if faults:
        rows = [f"{name}: {why}" for name, why in faults.items()]
        help_text = "load the delta before the model is fused, offloaded to the disk or emptied"
        what = "target tensors cannot be edited where they are"
        found = finetune.tensors_error("E644", what, rows, len(slots), help_text)
        yield replace(found, message=f"{found.message}: {next(iter(faults.values()))}")


def _check_strength(deltas: Sequence[Delta], strength: float) -> None:
    """Raise E643 unless all deltas can be loaded at this strength."""
    if not (math.isfinite(strength) and 0 < strength <= STRONGEST):
        message = f"a strength is above 0 and at most {STRONGEST:g}, and this is {strength:g}"
        raise fail("E643", message, help="1 is the edit as it was built; to take it out, use `unload()`")
    if strength != 1 and any(factors.form == "xor" for delta in deltas for factors in delta.factors.values()):
        message = "this delta changes bits, and bits have no strength"
        raise fail("E643", message, help="load it at strength 1, or make a delta with `editc diff --form dense`")


def _check_unedited(targets: Sequence[TargetTensor], place: str) -> None:
    """Raise E643 if a tensor holds the whole edit: another strength would have to begin at the base."""
    edited = [target.record.site.name for target in targets if target.state == "already"]
    if edited:
        message = (
            f"the model holds the whole edit already in {count(len(edited), 'tensor')}, the first is '{edited[0]}'"
        )
        raise fail("E643", message, place=place, help="unload the delta, or load the model as it was before the edit")


def _scaled(target: TargetTensor, strength: float) -> TargetTensor:
    """The target with a share of its edit. Its result is not known until it is computed."""
    factors = target.factors
    left = tuple(strength * part.astype("f8") for part in factors.left)
    scaled = Factors(factors.form, factors.sites, left, factors.right)  # type: ignore[arg-type]
    return replace(target, factors=scaled, result="")


def _untie(
    targets: Sequence[TargetTensor], slots: Mapping[tuple[str, str], Slot], place: str
) -> Iterator[TargetTensor]:
    """Yield the targets, of those that are the same numbers in memory only the first. Raises E644 if they should become
    different."""
    first: dict[object, TargetTensor] = {}
    for target in targets:
        site = target.record.site
        other = first.setdefault(identity(slots[site.component, site.name]), target)
        if other is target:
            yield target
        elif (other.state, other.result) != (target.state, target.result) or not target.result:
            message = f"'{site.name}' and '{other.record.site.name}' are the same numbers here, and are edited apart"
            raise fail("E644", message, place=place, help="untie the weights of the model before you load the delta")
