"""The new bytes of one target, some rows at a time, with the checks that every result must pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeAlias

from editc.core.diagnostics import fail
from editc.core.site_bytes import edit_bytes
from editc.formats.apply import quantised
from editc.formats.apply.target import TargetTensor
from editc.formats.containers.ranges import PIECE, map_ahead, read_pieces
from editc.numerics.bits import dtypes

CACHE_BYTES = 96 << 20
"""Bytes of results that are kept in memory until the journal is on the disk; what is beyond is computed again."""


_TensorFacts: TypeAlias = tuple[str, str, bool]
"""The sha256 of a tensor's bytes before and after, and whether all of the result is finite."""


@dataclass(frozen=True)
class EditedRows:
    """Some rows of one target, before and after."""

    index: int
    """The number of the target."""
    start: int
    """How many bytes into the tensor the rows begin."""
    old: bytes
    """Their bytes in the model."""
    new: bytes
    """Their bytes after the edit."""
    result: str = ""
    """In the last piece of a target the sha256 of all its new bytes, which have passed the checks. Empty in the
    others."""


def rewrite(targets: Sequence[TargetTensor]) -> Iterator[EditedRows]:
    """The rows of all targets in order, a few pieces being computed ahead on other threads (no bit depends on that).

    Raises E626, E627 or E628 in place of a target's last piece. A transposed tensor comes as one piece.
    """
    before, after, finite = hashlib.sha256(), hashlib.sha256(), True
    for piece, seen in map_ahead(lambda part: _compute_and_check(targets, *part), _read_pieces(targets)):
        target = targets[piece.index]
        if seen is None:
            before.update(piece.old)
            after.update(piece.new)
            finite = finite and quantised.is_finite(piece.new, target.tensor.dtype)
        if piece.start + len(piece.old) < target.tensor.nbytes:
            yield piece
            continue
        seen = seen or (before.hexdigest(), after.hexdigest(), finite)
        result = dtypes.sha256(target.tensor.from_file(piece.new)) if target.tensor.flipped else seen[1]
        _check_result(target, seen[0], result, seen[2])
        yield replace(piece, result=seen[1])
        before, after, finite = hashlib.sha256(), hashlib.sha256(), True


class ResultCache:
    """The results of the pass that checks them all, for the pass that writes them, as far as they fit into memory."""

    def __init__(self, targets: Sequence[TargetTensor]) -> None:
        sizes = accumulate(target.tensor.nbytes for target in targets)
        self.fitting = sum(size <= CACHE_BYTES for size in sizes)
        self._pieces: list[EditedRows] = []

    def add(self, piece: EditedRows) -> None:
        """Keeps the new bytes of one of the first `count` targets, and nothing of the others."""
        if piece.index < self.fitting:
            self._pieces.append(replace(piece, old=b""))

    def replay(self, targets: Sequence[TargetTensor]) -> Iterator[EditedRows]:
        """The pieces of all targets once more: those that were kept, then the others, computed and checked again."""
        yield from self._pieces
        self._pieces.clear()
        rest = rewrite(targets[self.fitting :])
        yield from (replace(piece, index=piece.index + self.fitting) for piece in rest)


def _read_pieces(targets: Sequence[TargetTensor]) -> Iterator[tuple[int, int, bytes]]:
    for index, target in enumerate(targets):
        tensor, start = target.tensor, 0
        row = tensor.nbytes // target.record.site.shape[0]
        whole = target.record.site.transposed or target.factors.bits or tensor.flipped or target.loss is not None
        step = tensor.nbytes if whole else max(1, PIECE // row) * row
        for old in read_pieces(tensor.file, tensor.offset, tensor.nbytes, step):
            yield index, start, old
            start += len(old)


def _compute_and_check(
    targets: Sequence[TargetTensor], index: int, start: int, old: bytes
) -> tuple[EditedRows, _TensorFacts | None]:
    """A piece, and what there is to know of its tensor where it is the whole of it: then that is found out on this
    thread, too."""
    piece, tensor = _compute_rows(targets, index, start, old), targets[index].tensor
    if len(old) < tensor.nbytes:
        return piece, None
    return piece, (dtypes.sha256(old), dtypes.sha256(piece.new), quantised.is_finite(piece.new, tensor.dtype))


def _compute_rows(targets: Sequence[TargetTensor], index: int, start: int, old: bytes) -> EditedRows:
    target = targets[index]
    site, row = target.record.site, target.tensor.nbytes // target.record.site.shape[0]
    exact = target.state == "exact"
    try:
        if target.loss is not None:
            return EditedRows(
                index, start, old, quantised.edit_stored_bytes(old, target.tensor, site, target.factors, target.k)
            )
        upright = target.tensor.from_file(old)
        new = edit_bytes(upright, target.tensor.dtype, site, target.factors, target.k, start // row, exact)
    except ValueError as error:
        help_text = "do not use the delta; fetch it again, or make it again with `editc diff`"
        raise fail("E607", f"the bits of '{site.name}' cannot be unpacked: {error}", help=help_text) from error
    return EditedRows(index, start, old, target.tensor.to_file(new))


def _check_result(target: TargetTensor, base: str, result: str, finite: bool) -> None:
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
