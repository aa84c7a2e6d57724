"""The new bytes of one target, some rows at a time, with the checks that every result must pass."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator

from editc.diagnostics import fail
from editc.formats.plan import Target
from editc.formats.ranges import PIECE, pieces
from editc.numerics import dtypes
from editc.records import edited

HELD = 96 << 20
"""Bytes of results that are kept in memory until the journal is on the disk; what is beyond is computed again."""


class Rewriting:
    """A target's rows as (old, new) bytes in order; then `result`, the sha256 of all the new ones.

    Raises E626, E627 or E628 at the end of the rows. A transposed tensor comes as one piece.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self.result = ""

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        target, tensor, site = self._target, self._target.tensor, self._target.record.site
        row = tensor.nbytes // site.shape[0] or 1
        step = tensor.nbytes if site.transposed else max(1, PIECE // row) * row
        before, after, finite, done = hashlib.sha256(), hashlib.sha256(), True, 0
        for old in pieces(tensor.file, tensor.offset, tensor.nbytes, step):
            new = edited(old, tensor.dtype, site, target.factors, target.k, done // row)
            finite = finite and dtypes.is_finite(new, tensor.dtype)
            before.update(old)
            after.update(new)
            done += len(old)
            yield old, new
        _check(target, before.hexdigest(), after.hexdigest(), finite)
        self.result = after.hexdigest()


class Held:
    """Results from the pass that checks them all, for the pass that writes them, as far as they fit into memory."""

    def __init__(self) -> None:
        self._kept: dict[int, list[bytes]] = {}
        self._left = HELD

    def old_bytes(self, index: int, target: Target) -> Generator[bytes, None, str]:
        """The old bytes of target number `index`, its new ones being computed and kept; returns their sha256."""
        kept: list[bytes] = []
        room = target.tensor.nbytes <= self._left
        run = Rewriting(target)
        for old, new in run:
            if room:
                kept.append(new)
            yield old
        if room:
            self._kept[index] = kept
            self._left -= target.tensor.nbytes
        return run.result

    def new_bytes(self, index: int, target: Target) -> Iterator[bytes]:
        """The new bytes of that target: those that were kept, else computed and checked again."""
        if index in self._kept:
            yield from self._kept.pop(index)
        else:
            yield from (new for _, new in Rewriting(target))


def _check(target: Target, base: str, result: str, finite: bool) -> None:
    name, dtype, place = target.record.site.name, target.tensor.dtype, str(target.tensor.file)
    if base != target.base:
        help_text = "something else writes to it; run the command again when that is done"
        raise fail("E628", f"tensor '{name}' changed after it was checked", place=place, help=help_text)
    if not finite:
        message = f"the edited tensor '{name}' would hold values that {dtype} cannot, or the base holds NaN or infinity"
        raise fail("E626", message, place=place, help="apply it to a copy in F32 or BF16")
    if target.result and result != target.result:
        message = f"the result for '{name}' is not the one that the delta records, though the base is"
        raise fail("E627", message, help="do not use the result; this is a fault of editc or of this machine's memory")
