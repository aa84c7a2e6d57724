"""Which deltas were loaded into a module, so that a refusal can name them. The hashes of the weights decide; this only
names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from editc.core.delta import Delta
from editc.formats.apply.carried import PresentBytes
from editc.live.slots import Slot


def record(slot: Slot, result: str, delta: Delta) -> None:
    """Note that a matrix has the sha256 `result` since `delta` was loaded."""
    summary = {"delta_id": delta.delta_id, "edits": [dict(edit) for edit in delta.edits]}
    _history().setdefault(slot.root, {}).setdefault(_key(slot), []).append((result, summary))


def forget(slot: Slot, result: str) -> None:
    """Remove the last note with this sha256."""
    notes = _history().get(slot.root, {}).get(_key(slot), [])
    for index in reversed(range(len(notes))):
        if notes[index][0] == result:
            del notes[index]
            return


def loaded_deltas(
    present: Iterable[PresentBytes], slots: Mapping[tuple[str, str], Slot]
) -> Sequence[Mapping[str, Any]]:
    """The deltas whose results are in these matrices, each once. `slots`: (component, name) -> where it is."""
    found: dict[str, Mapping[str, Any]] = {}
    for component, name, digest in present:
        slot = slots[component, name]
        for result, summary in _history().get(slot.root, {}).get(_key(slot), []):
            if result == digest:
                found[summary["delta_id"]] = summary
    return tuple(found.values())


def _key(slot: Slot) -> tuple[str, object]:
    """The matrix within its module."""
    return slot.name, slot.part


@cache
def _history() -> Any:
    """Module -> (name, part) -> what was loaded into it, in order: (sha256, summary). It keeps no module alive."""
    return WeakKeyDictionary()
