"""Put a delta into a MODEL and a CLIP of ComfyUI as patches, and take deltas out.

Every matrix is hashed and computed as `editc apply` does it. The patch then sets the result, so that ComfyUI's weights
become those of `editc apply` bit for bit. Where other patches (LoRAs) are on a matrix already, the patch adds the
difference in float32 instead, so that the others stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from editc.core.delta import Delta, SiteRecord
from editc.core.diagnostics import fail
from editc.core.text import count
from editc.formats.apply.refusals import check_disjoint, no_change_error
from editc.formats.apply.target import TIERS, TargetTensor
from editc.formats.models.model import Checkpoint, Tensor
from editc.formats.models.prefixes import match_names
from editc.live.judge import EditedMatrix, ReadMatrix, edit_targets, judge_targets
from editc.live.tensors import PLAIN, describe, read_bytes, tensor_of

from .patchers import HeldDelta, add_delta, held_deltas, read_clip, read_model, remove_deltas
from .places import Place

MODEL_NAME = "the MODEL in ComfyUI"
"""What messages call the weights."""
ENCODER = "text_encoder"
"""How the components begin that a CLIP holds."""
OTHERS = "other patches are on {} of this delta: what it claims was measured without them"
"""A note where a LoRA, or another edit, was added before."""


EDITED_FILE = "the weights hold the whole edit already: the checkpoint was edited before it was loaded"
"""A note where nothing is left to patch."""


@dataclass(frozen=True)
class Matrix:
    """One matrix of a delta, in ComfyUI."""

    part: str
    """Where it is: in the `model` or in the `clip`."""
    place: Place
    """Where it is there."""
    values: Any
    """Its weights without any patch, as a tensor of torch."""
    patched: bool
    """True if patches are on it already, whoever added them."""


Matrices: TypeAlias = Mapping[tuple[str, str], Matrix]
"""(component, name of a site) -> its matrix."""


@dataclass(frozen=True)
class Edited:
    """A MODEL and a CLIP after a node."""

    model: Any
    """The MODEL: a clone with the edit, or the one that was given if nothing in it changes."""
    clip: Any
    """The CLIP likewise. None if none was given."""
    notes: tuple[str, ...]
    """Sentences for the user."""
    changed: int = 0
    """The number of matrices that were patched, or whose patches were taken out."""


def apply_delta(delta: Delta, model: Any, clip: Any = None, allow_finetune: bool = False) -> Edited:
    """Add a delta to clones of `model` and `clip`. Neither of them is changed.

    Raises what `editc apply` raises for weights that the delta is not for (E620 to E622 and others), E615 for a delta
    of the text encoder without a CLIP, E624 if a delta that is in them already edits the same matrices.
    """
    there = {one.delta.delta_id: one.delta for one in _held(model, clip)}
    if delta.delta_id in there:
        return Edited(model, clip, ("this delta is in it already",))
    check_disjoint((*there.values(), delta))
    matrices = _find_matrices(delta, model, clip)
    targets, notes = _judge(delta, matrices, allow_finetune)
    pending = [target for target in targets if target.pending]
    patches = _make_patches(pending, matrices)
    patched = sum(matrices[_name(target.record)].patched for target in pending)
    notes += [OTHERS.format(count(patched, "matrix"))] if patched else []
    notes += [] if pending else [EDITED_FILE]
    after = {
        "model": add_delta(model, delta, patches["model"]) if patches["model"] else model,
        "clip": add_delta(clip, delta, patches["clip"]) if patches["clip"] else clip,
    }
    return Edited(**after, notes=(describe_match(targets), *notes), changed=len(pending))


def revert_deltas(model: Any, clip: Any = None, which: str = "last") -> Edited:
    """Take the last delta out of clones of `model` and `clip`, or `all` of them. Raises E634 if there is none."""
    ids = list(dict.fromkeys(one.delta.delta_id for one in _held(model, clip)))
    if not ids:
        help_text = "an edit in the checkpoint's file is undone there: `editc revert FILE`"
        raise fail("E634", "no delta was added by a node", place=MODEL_NAME, help=help_text)
    gone = frozenset(ids if which == "all" else ids[-1:])
    found = [one for one in _held(model, clip) if one.delta.delta_id in gone]
    notes = tuple(f"took out delta {delta_id[:12]}" for delta_id in ids if delta_id in gone)
    changed = sum(len(one.patches) for one in found)
    return Edited(remove_deltas(model, gone), None if clip is None else remove_deltas(clip, gone), notes, changed)


def match_delta(delta: Delta, model: Any, clip: Any = None, allow_finetune: bool = False) -> str:
    """Say in a sentence what the weights are for a delta. Raises as `apply_delta` does for weights that it is not
    for."""
    targets, notes = _judge(delta, _find_matrices(delta, model, clip), allow_finetune)
    return "\n".join((describe_match(targets), *notes))


def describe_match(targets: Sequence[TargetTensor]) -> str:
    """Say in a sentence how near the weights are to those that the delta was made for."""
    words = {
        "exact": "the very weights that the delta was made for",
        "cast": "the weights that the delta was made for, in another number format",
        "relative": "those of a fine-tune, for which the report does not hold",
    }
    found = {target.state for target in targets}
    tier = max((tier for tier in TIERS if tier in found), key=TIERS.index, default="already")
    return f"{count(len(targets), 'matrix')}: {words.get(tier, 'the whole edit is in them')}"


def _held(model: Any, clip: Any) -> Iterator[HeldDelta]:
    """Yield the deltas in a MODEL, then those in a CLIP."""
    yield from held_deltas(model)
    yield from () if clip is None else held_deltas(clip.patcher)


def _find_matrices(delta: Delta, model: Any, clip: Any) -> Matrices:
    """Find the sites of a delta in a MODEL and a CLIP. A site that is not found is left out. Raises E615 for a
    component that neither has, such as the text encoder where no CLIP is connected."""
    parts = {"model": read_model(model)} | ({} if clip is None else {"clip": read_clip(clip)})
    known = {component for held in parts.values() for component, _ in held.places}
    for component in sorted({record.site.component for record in delta.sites} - known):
        message, help_text = f"it has no component '{component}' that editc knows", "see the README of these nodes"
        if component.startswith(ENCODER) and clip is None:
            message, help_text = "the delta edits the text encoder, and no CLIP is connected", "connect the CLIP"
        raise fail("E615", message, place=MODEL_NAME, help=help_text)
    found: dict[tuple[str, str], Matrix] = {}
    for part, held in parts.items():
        for component in sorted({component for component, _ in held.places}):
            names = [record.site.name for record in delta.sites if record.site.component == component]
            own = match_names(names, [name for other, name in held.places if other == component])
            for name, key in own.items():
                place = held.places[component, key]
                values = place.take(held.weights[place.key])
                found[component, name] = Matrix(part, place, values, place.key in held.patched)
    return found


def _judge(delta: Delta, matrices: Matrices, allow_finetune: bool) -> tuple[list[TargetTensor], list[str]]:
    """Compare the weights with the hashes of the delta, as `editc apply` does."""
    opened = {
        component: Checkpoint(
            component,
            {name: _describe(matrix, component) for (other, name), matrix in matrices.items() if other == component},
        )
        for component in {record.site.component for record in delta.sites}
    }
    return judge_targets([delta], opened, _reader(matrices), MODEL_NAME, allow_finetune, lambda _: ())


def _describe(matrix: Matrix, component: str) -> Tensor:
    """A matrix as checkpoints describe tensors. ComfyUI's quantised tensors say that they hold floats, and hold others:
    whatever class is not torch's own is at fault."""
    found, kind = describe(matrix.values, Path(MODEL_NAME, component)), type(matrix.values)
    own = kind.__module__.partition(".")[0] in PLAIN
    return found if own or found.fault else replace(found, fault=f"a {kind.__name__}, not plain floats")


def _reader(matrices: Matrices) -> ReadMatrix:
    """A function that gives the bytes of a matrix by component and name."""
    return lambda component, name: read_bytes(matrices[component, name].values)


def _make_patches(pending: Sequence[TargetTensor], matrices: Matrices) -> Mapping[str, dict[Place, Any]]:
    """`model` and `clip` -> the patches of each. Raises E625 if none changes a weight, and E626 and E627."""
    found: dict[str, dict[Place, Any]] = {"model": {}, "clip": {}}
    changes = False
    for one in edit_targets(pending, _reader(matrices)):
        matrix = matrices[_name(one.target.record)]
        found[matrix.part][matrix.place] = _make_patch(one, matrix)
        changes = changes or one.old != one.new
    if pending and not changes:
        raise no_change_error(MODEL_NAME)
    return found


def _make_patch(one: EditedMatrix, matrix: Matrix) -> Any:
    """The value of a patch as ComfyUI reads it: `set` copies, `diff` adds."""
    new = tensor_of(one.new, matrix.values)
    return ("diff", (new.float() - tensor_of(one.old, matrix.values).float(),)) if matrix.patched else ("set", (new,))


def _name(record: SiteRecord) -> tuple[str, str]:
    """The component and the name of a site."""
    return record.site.component, record.site.name
