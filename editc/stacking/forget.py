"""`editc stack forget`: drop the deltas that saw some rows, and link what is left."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from editc.core.diagnostics import EditcError, fail
from editc.core.language_edits import PromptAnswer
from editc.core.storage.disk import clear
from editc.stacking.files import STACK, StackedOrder, StackedSlice, link_order, read_stack


@dataclass(frozen=True)
class OrderLeft:
    """What is left of one order."""

    order: StackedOrder
    """The order as it was."""
    kept: tuple[StackedSlice, ...]
    """The slices that are left."""

    @property
    def dropped(self) -> tuple[StackedSlice, ...]:
        """The slices that saw a row, and those that were learned after them."""
        return self.order.slices[len(self.kept) :]

    @property
    def rows(self) -> int:
        """How many rows the slices that are left have learned."""
        return sum(len(one.rows) for one in self.kept)


@dataclass(frozen=True)
class Forgotten:
    """What `editc stack forget` did, or would do."""

    rows: tuple[tuple[PromptAnswer, tuple[int, ...]], ...]
    """Each row to forget, with the slices that learned it. Empty: no delta saw it."""
    orders: tuple[OrderLeft, ...]
    """What is left of every order."""
    best: OrderLeft
    """The order of which most rows are left."""
    linked: Path | None
    """The delta of that order. None if nothing is left of any, or if nothing was written."""
    written: bool
    """True if the deltas are gone."""


def forget_rows(folder: Path, file: Path, dry_run: bool = False) -> Forgotten:
    """Drop every delta of a stack that saw a row of `file`, and link the order of which most is left.

    `file` has rows as the data set has them. Raises E658 for a file without rows, and for a stack of which no delta saw
    one: forgetting never silently does nothing.
    """
    orders, rows = read_stack(folder), _read_rows(file)
    digests = frozenset(row.digest for row in rows)
    left = tuple(OrderLeft(order, order.kept(digests)) for order in orders)
    seen = tuple((row, _slices_with(orders, row.digest)) for row in rows)
    if not any(slices for _, slices in seen):
        help_ = "write the rows as the data set has them, word for word"
        raise fail("E658", "no delta of this stack saw any of these rows", place=str(file), help=help_)
    best = max(left, key=lambda one: one.rows)
    if dry_run:
        return Forgotten(seen, left, best, None, False)
    return Forgotten(seen, left, best, _drop(folder, left, best), True)


def _slices_with(orders: Collection[StackedOrder], digest: str) -> tuple[int, ...]:
    """The slices that learned the row with this digest."""
    return tuple(sorted({one.slices[-1] for order in orders for one in order.slices if digest in one.rows}))


def _read_rows(file: Path) -> tuple[PromptAnswer, ...]:
    """The rows of a file. Raises E658 where it has none, and E111 or E126 where it cannot be read."""
    from editc.core.places import Source
    from editc.manifests.data_sets import read_rows
    from editc.manifests.faults import Faults
    from editc.manifests.files import read_text_file

    text, problem, help_ = read_text_file(file, "forget fewer rows at once")
    if problem:
        raise fail("E658", f"the file {problem}", place=str(file), help=help_)
    faults = Faults(Source(str(file), text))
    rows = read_rows(file.name, text, faults)
    if faults.found:
        raise EditcError(*faults.found)
    if not rows:
        raise fail("E658", "the file has no rows", place=str(file), help="write the rows to forget, one a line")
    return rows


def _drop(folder: Path, left: tuple[OrderLeft, ...], best: OrderLeft) -> Path | None:
    """Remove what must go: first the linked delta, then each order's slices from the last one up. Link the rest."""
    link_order(folder, best.order.number, (), folder / STACK)
    for one in left:
        for gone in reversed(one.dropped):
            clear(gone.folder)
    return link_order(folder, best.order.number, best.kept, folder / STACK)
