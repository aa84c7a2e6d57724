"""Read the weights of ComfyUI's MODEL and CLIP, and add patches to clones of them.

Both keep their weights in a ModelPatcher. Its weights stay what they are: ComfyUI computes patched weights from them
when it runs, and puts the old ones back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from editc.core.delta import Delta

from .places import Place, Places, clip_places, model_places

ATTACHMENT = "editc"
"""The name under which a patcher keeps which deltas are in it. ComfyUI hands attachments on to clones."""


@dataclass(frozen=True)
class HeldDelta:
    """A delta that is in a patcher as patches."""

    delta: Delta
    """The delta."""
    patches: tuple[Any, ...] = ()
    """The values of its patches, by which they are found again. Empty where it edits nothing in this patcher."""


@dataclass(frozen=True)
class HeldWeights:
    """The weights of one patcher, without its patches."""

    weights: Mapping[str, Any]
    """Name in ComfyUI -> the tensor."""
    patched: frozenset[str]
    """The names of those that have patches, whoever added them."""
    places: Places
    """(component, name in diffusers) -> where it is."""


def read_model(model: Any) -> HeldWeights:
    """The weights of a MODEL."""
    return _read_weights(model, model_places)


def read_clip(clip: Any) -> HeldWeights:
    """The weights of a CLIP."""
    return _read_weights(clip.patcher, clip_places)


def held_deltas(patcher: Any) -> tuple[HeldDelta, ...]:
    """The deltas that these nodes added to a patcher, in order."""
    found: tuple[HeldDelta, ...] = patcher.get_attachment(ATTACHMENT) or ()
    return found


def add_delta(part: Any, delta: Delta, patches: Mapping[Place, Any]) -> Any:
    """A clone of a MODEL or CLIP with the patches of a delta. Raises LookupError if it does not take one of them."""
    clone = part.clone()
    taken = clone.add_patches({place.patch_key: value for place, value in patches.items()})
    if len(taken) != len(patches):
        raise LookupError(f"ComfyUI took {len(taken)} of {len(patches)} patches")
    patcher = _patcher(clone)
    held = (*held_deltas(patcher), HeldDelta(delta, tuple(patches.values())))
    patcher.set_attachments(ATTACHMENT, held)
    return clone


def remove_deltas(part: Any, delta_ids: frozenset[str]) -> Any:
    """A clone of a MODEL or CLIP without the patches of these deltas. Patches of others stay."""
    clone = part.clone()
    patcher = _patcher(clone)
    gone = [one for one in held_deltas(patcher) if one.delta.delta_id in delta_ids]
    left = tuple(one for one in held_deltas(patcher) if one.delta.delta_id not in delta_ids)
    values = {id(value) for one in gone for value in one.patches}
    patcher.patches = {
        key: kept for key, every in patcher.patches.items() if (kept := [p for p in every if id(p[1]) not in values])
    }
    patcher.patches_uuid = uuid4()
    if left:
        patcher.set_attachments(ATTACHMENT, left)
    else:
        patcher.remove_attachments(ATTACHMENT)
    return clone


def _patcher(part: Any) -> Any:
    """The ModelPatcher of a MODEL, which is one, or of a CLIP, which has one."""
    return getattr(part, "patcher", part)


def _read_weights(patcher: Any, find: Callable[[Mapping[str, tuple[int, ...]]], Places]) -> HeldWeights:
    """The weights of a patcher before any patch: (weight, ...) comes first in each list, then the patches."""
    listed = patcher.get_key_patches()
    weights = {key: entries[0][0] for key, entries in listed.items() if entries[0][0] is not None}
    patched = frozenset(key for key, entries in listed.items() if len(entries) > 1)
    return HeldWeights(weights, patched, find({key: tuple(weight.shape) for key, weight in weights.items()}))
