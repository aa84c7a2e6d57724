"""The files of a stack: a folder for each order, in it one for each slice with its delta, and the linked delta."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editc.core.delta import Delta
from editc.core.diagnostics import fail
from editc.core.storage.disk import clear
from editc.formats.exports.read import read_delta
from editc.libraries.tool import tool
from editc.verbs.link import LOCK_SUFFIX, link_files
from editc.verbs.paths import DELTA

STACK = "stack.safetensors"
"""The delta that all slices of one order are linked into."""
_ORDER = re.compile(r"order-([1-9][0-9]*)")


@dataclass(frozen=True)
class StackedSlice:
    """One slice of an order, as its delta records it."""

    folder: Path
    """The folder of its build."""
    delta: Delta
    """Its delta."""
    slices: tuple[int, ...]
    """The slices that it depends on, its own last."""
    rows: frozenset[str]
    """The digests of the rows that it learned."""


@dataclass(frozen=True)
class StackedOrder:
    """One order of a stack."""

    number: int
    """Its number, from 1."""
    slices: tuple[StackedSlice, ...]
    """Its slices, in the order in which they were learned."""

    def kept(self, digests: Collection[str]) -> tuple[StackedSlice, ...]:
        """The slices that saw none of the rows with these digests, themselves or by those before them."""
        found: list[StackedSlice] = []
        for one in self.slices:
            if not one.rows.isdisjoint(digests):
                break
            found.append(one)
        return tuple(found)


def order_folder(out: Path, number: int) -> Path:
    """The folder of an order."""
    return out / f"order-{number}"


def slice_folder(order: Path, depth: int) -> Path:
    """The folder of the slice that is learned as number `depth`."""
    return order / str(depth)


def read_stack(folder: Path) -> tuple[StackedOrder, ...]:
    """The orders of a stack, by number. Raises E658 for a folder that is none, or whose deltas do not follow from each
    other."""
    names = folder.iterdir() if folder.is_dir() else iter(())
    numbers = sorted(int(found[1]) for one in names if (found := _ORDER.fullmatch(one.name)))
    if not numbers:
        raise fail("E658", "this is not the folder of a stack", place=str(folder), help="`editc stack build` makes one")
    return tuple(StackedOrder(number, tuple(_read_order(order_folder(folder, number)))) for number in numbers)


def _read_order(folder: Path) -> Iterator[StackedSlice]:
    """The slices of an order, as far as there are any."""
    parents: list[str] = []
    depth = 1
    while (place := slice_folder(folder, depth) / DELTA).exists():
        one = _read_slice(place)
        if list(one.delta.extra.get("after", ())) != parents or len(one.slices) != depth:
            message = "this slice was not learned on those before it"
            raise fail("E658", message, place=str(place), help="build the stack again")
        yield one
        parents.append(one.delta.delta_id)
        depth += 1


def _read_slice(place: Path) -> StackedSlice:
    """A slice from its delta. Raises E658 for a delta that learned none."""
    delta = read_delta(place)
    edit: Any = delta.edits[0] if delta.edits else {}
    if edit.get("kind") != "learn" or not isinstance(edit.get("rows"), list):
        raise fail("E658", "this delta learned no slice", place=str(place), help="build the stack again")
    return StackedSlice(place.parent, delta, tuple(edit["slices"]), frozenset(map(str, edit["rows"])))


def link_order(out: Path, number: int, slices: Sequence[object], target: Path) -> Path | None:
    """Link the first `len(slices)` deltas of an order into `target`. Without any, remove it, and return None."""
    clear(target)
    clear(target.with_suffix(LOCK_SUFFIX))
    if not slices:
        return None
    folder = order_folder(out, number)
    paths = [slice_folder(folder, depth) / DELTA for depth in range(1, len(slices) + 1)]
    link_files(paths, target, None, False, tool())
    return target
