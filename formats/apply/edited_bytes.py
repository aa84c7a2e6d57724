"""Compute the new bytes of each target, some rows at a time, and check every result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
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
"""Bytes of results that stay in memory until the journal entry is on the disk (96 MiB). Further results are computed a
second time. Chosen by hand: more than the 77 MB that all edited tensors of SD 1.5 took in
docs/measurements/apply.md."""


_TensorFacts: TypeAlias = tuple[str, str, bool]
"""Of a whole tensor: the sha256 before and after the edit, and whether all of the result is finite."""


ReadTensor: TypeAlias = Callable[[TargetTensor, int], Iterator[bytes]]
"""Yields the present bytes of a target in order, at most so many at a time."""


@dataclass(frozen=True)
class EditedRows:
    """Some rows of one target, before and after the edit."""

    index: int
    """The number of the target in the list."""
    start: int
    """The position of the first row in the tensor, in bytes."""
    old: bytes
    """Their bytes in the model. Empty in pieces that `ResultCache` holds."""
    new: bytes
    """Their bytes after the edit."""
    result: str = ""
    """The sha256 of all new bytes of the tensor, in the last piece of a target, after the checks. Empty in other
    pieces."""


def read_file(target: TargetTensor, step: int) -> Iterator[bytes]:
    """Yield the bytes of a target from its file, at most `step` at a time."""
    tensor = target.tensor
    return read_pieces(tensor.file, tensor.offset, tensor.nbytes, step)


def rewrite(targets: Sequence[TargetTensor], read: ReadTensor = read_file) -> Iterator[EditedRows]:
    """Yield the edited rows of all targets in order. A few pieces are computed ahead on other threads; no bit depends
    on that. `read` is called on the thread of the caller.

    A transposed tensor comes as one piece. Raises E626 (not finite), E627 (another result than recorded) or E628 (the
    file changed) in place of a target's last piece.
    """
    before, after, finite = hashlib.sha256(), hashlib.sha256(), True
    for piece, seen in map_ahead(lambda part: _compute_and_check(targets, *part), _read_pieces(targets, read)):
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
    """Holds the results of the pass that checks them for the pass that writes them, as far as they fit into memory."""

    def __init__(self, targets: Sequence[TargetTensor]) -> None:
        sizes = accumulate(target.tensor.nbytes for target in targets)
        self.fitting = sum(size <= CACHE_BYTES for size in sizes)
        self._pieces: list[EditedRows] = []

    def add(self, piece: EditedRows) -> None:
        """Add the new bytes of a piece, if its target is one of the first `fitting` targets."""
        if piece.index < self.fitting:
            self._pieces.append(replace(piece, old=b""))

    def replay(self, targets: Sequence[TargetTensor]) -> Iterator[EditedRows]:
        """Yield the pieces of all targets again: cached ones first, then the others, computed and checked a second
        time. Empties the cache."""
        yield from self._pieces
        self._pieces.clear()
        rest = rewrite(targets[self.fitting :])
        yield from (replace(piece, index=piece.index + self.fitting) for piece in rest)


def _read_pieces(targets: Sequence[TargetTensor], read: ReadTensor) -> Iterator[tuple[int, int, bytes]]:
    """Yield (number of the target, position, bytes) of all targets: in pieces of whole rows, or whole if the edit needs
    the whole tensor."""
    for index, target in enumerate(targets):
        tensor, start = target.tensor, 0
        row = tensor.nbytes // target.record.site.shape[0]
        whole = target.record.site.transposed or target.factors.bits or tensor.flipped or target.loss is not None
        step = tensor.nbytes if whole else max(1, PIECE // row) * row
        for old in read(target, step):
            yield index, start, old
            start += len(old)


def _compute_and_check(
    targets: Sequence[TargetTensor], index: int, start: int, old: bytes
) -> tuple[EditedRows, _TensorFacts | None]:
    """Compute a piece. If it is a whole tensor, also hash and check it, because this runs on one of the other threads;
    else return None for that."""
    piece, tensor = _compute_rows(targets, index, start, old), targets[index].tensor
    if len(old) < tensor.nbytes:
        return piece, None
    return piece, (dtypes.sha256(old), dtypes.sha256(piece.new), quantised.is_finite(piece.new, tensor.dtype))


def _compute_rows(targets: Sequence[TargetTensor], index: int, start: int, old: bytes) -> EditedRows:
    """Compute the new bytes of some rows. Raises E607 if the bits of a delta cannot be unpacked."""
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
    """Check the hashes and values of a whole target: `base` is the hash before, `result` the hash after the edit.
    Raises E626, E627 or E628."""
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
