"""Compute edited weights in their stored dtype at the speed of a BLAS, bit for bit as `arithmetic` defines them.

`arithmetic` sums in a fixed order, which is slow. A BLAS adds the same terms in another order, and both sums are within
a known distance e of each other (`row_sums`). What is stored is the sum x rounded to a few bits. If x - e and x + e
round to the same number, that number is the result in any order (Ziv's rounding test, 1991). Elements where they differ
are computed in the fixed order. So no bit depends on the BLAS; only the time does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.bits import dtypes
from editc.numerics.bits.arithmetic import patch
from editc.numerics.bits.row_sums import (
    ErrorBound,
    InBlocks,
    RowSums,
    WholeRows,
    bound_single_values,
    join_rows,
    sum_in_order,
)
from editc.numerics.bits.scratch import Scratch, block_rows
from editc.numerics.bits.ties import round_block, settle_ends

Array: TypeAlias = NDArray[np.float64]
Real: TypeAlias = NDArray[np.floating]
Bits: TypeAlias = NDArray[np.unsignedinteger]
Places: TypeAlias = NDArray[np.intp]

_SETTLED_ROWS = 512
"""Rows with elements in doubt that are settled together. Chosen by hand: 8 MB in float64 at a width of 2048."""


@dataclass(frozen=True)
class Rounded:
    """Edited rows in one dtype."""

    raw: bytes | memoryview
    """Their bytes."""
    doubted: int = 0
    """Elements that two ends of the bound round to different numbers, so that they were computed in the fixed order."""


@dataclass(frozen=True)
class QuickSums:
    """What the BLAS summed, before it was rounded."""

    factor: Array
    """(rows, r): W left; the left factor itself for `low-rank`."""
    value: Array
    """(rows, width): the edited values."""


def edited_rows(raw: bytes, dtype: str, width: int, form: str, left: Real, right: Real | None) -> bytes:
    """Return the edited rows as stored bytes, from the stored bytes `raw` of rows with `width` elements each.

    `left` and `right` are those of `arithmetic.patch`. The result equals `encode(patch(decode(raw)))` bit for bit.
    """
    return bytes(round_edited(raw, dtype, (dtype,), width, form, left, right)[0].raw)


def round_edited(
    raw: bytes, dtype: str, wanted: Sequence[str], width: int, form: str, left: Real, right: Real | None
) -> tuple[Rounded, ...]:
    """Return the edited rows in each dtype of `wanted`, from the stored bytes `raw` of rows of `width` elements.

    The values of `raw`, whose dtype is `dtype`, are edited once and then rounded to each.
    """
    return round_with_sums(raw, dtype, wanted, width, form, left, right)[0]


def round_with_sums(
    raw: bytes,
    dtype: str,
    wanted: Sequence[str],
    width: int,
    form: str,
    left: Real,
    right: Real | None,
    keep: bool = False,
) -> tuple[tuple[Rounded, ...], QuickSums | None]:
    """Return what `round_edited` returns, and with `keep` the sums. None where all is summed in the fixed order."""
    if form == "dense" or right is None or "F64" in (dtype, *wanted):
        values = _in_fixed_order(raw, dtype, width, form, left, right)
        return tuple(Rounded(dtypes.encode(values, one)) for one in wanted), None
    stored = dtypes.stored_patterns(raw, dtype).reshape(-1, width)
    outs = [np.empty(stored.shape, f"<u{dtypes.BITS[one] // 8}") for one in wanted]
    value = np.empty(stored.shape) if keep else None
    edit = Edit(form, left.astype(np.float64), right.astype(np.float64))
    bound = _error_bound(edit, wanted)
    doubted, sums = _round_rows(stored, dtype, wanted, outs, edit, bound, value)
    for one, out, places in zip(wanted, outs, doubted, strict=True):
        for part in _split_by_rows(places, width):
            exact = _settle(part, stored, dtype, edit, sums.value if bound.in_order else None)
            out.reshape(-1)[part] = dtypes.encode_patterns(exact, one)
    made = tuple(
        Rounded(out.reshape(-1).view(np.uint8).data, len(places)) for out, places in zip(outs, doubted, strict=True)
    )
    return made, None if value is None else QuickSums(sums.value, value)


@dataclass(frozen=True)
class Edit:
    """An edit that is a product, in float64."""

    form: str
    """`shared` or `low-rank`."""
    left: Array
    """(width, r) for `shared`, (rows, r) for `low-rank`."""
    right: Array
    """(r, width)."""

    def left_of(self, rows: slice) -> Array:
        """Return the left factor for some rows."""
        return self.left if self.form == "shared" else self.left[rows]


def _error_bound(edit: Edit, wanted: Sequence[str]) -> ErrorBound:
    """Return the bound that takes less time: the closer one where float32 is wanted of a shared edit."""
    shared = edit.form == "shared"
    in_order = shared and "F32" in wanted
    return InBlocks.of(edit.left, edit.right) if in_order else WholeRows.of(shared, edit.left, edit.right)


def _round_rows(
    stored: Bits,
    dtype: str,
    wanted: Sequence[str],
    outs: Sequence[Bits],
    edit: Edit,
    bound: ErrorBound,
    values: Array | None,
) -> tuple[list[Places], RowSums]:
    """Write the edited rows in each dtype of `wanted` into `outs`, (rows, width) as `stored`, and before rounding into
    `values`. Return the places (n,) of elements in doubt of each, and the sums of all rows."""
    rows, width = stored.shape
    step, together = block_rows(width), bound.rows_together(width)
    space = Scratch.for_rows(rows, width, together)
    sums: list[RowSums] = []
    near: list[list[tuple[Places, Array]]] = [[] for _ in wanted]
    for first in range(0, rows, together):
        W = space.decode(stored[first : first + together], dtype)
        with np.errstate(all="ignore"):
            sums.append(bound.sum_rows(W, edit.left_of(slice(first, first + together))))
        for start in range(0, len(W), step):
            part = slice(start, min(start + step, len(W)))
            block, mine = space.first(part.stop - part.start), slice(first + part.start, first + part.stop)
            value = block.value if values is None else values[mine]
            _edit_block(W[part], sums[-1].value[part], edit.right, value)
            error = _largest(sums[-1].size[part]) * _largest(bound.columns)
            for one, out, found in zip(wanted, outs, near, strict=True):
                places = round_block(one, value, error, block, out[mine])
                found.append((mine.start * width + places, value.reshape(-1)[places]))
    total = join_rows(sums)
    each = zip(wanted, outs, near, strict=True)
    return [_find_doubts(one, found, total, bound.columns, edit.right, out) for one, out, found in each], total


def _largest(bounds: Array) -> float:
    """Return the largest of some bounds, without those of rows that are in doubt as a whole."""
    return float(bounds.max(initial=0.0, where=_are_sound(bounds)))


def _are_sound(size: Array) -> NDArray[np.bool_]:
    """Say of each bound whether it bounds anything."""
    return np.asarray(np.isfinite(size) & (size > 0))


def _find_doubts(
    dtype: str, near: Sequence[tuple[Places, Array]], sums: RowSums, columns: Array, right: Array, out: Bits
) -> Places:
    """Return the places (n,) of elements in doubt: those near a tie, with their values, that two ends of the bound
    round to different numbers, and all elements of rows without a bound. What is in no doubt is written into `out`."""
    places, value = (np.concatenate(part) for part in zip(*near, strict=True))
    row, column = np.divmod(places, len(columns))
    with np.errstate(all="ignore"):
        error = sums.size[row] * columns[column]
    doubted = settle_ends(dtype, value, error, places, out)
    if sums.errors is not None:
        left_over = np.searchsorted(places, doubted)
        row, column, value = row[left_over], column[left_over], value[left_over]
        error = bound_single_values(sums.errors, right, row, column, value)
        doubted = settle_ends(dtype, value, error, doubted, out)
    unsound = np.flatnonzero(~_are_sound(sums.size))
    if not len(unsound):
        return doubted
    whole = (unsound[:, None] * len(columns) + np.arange(len(columns))).reshape(-1)
    return np.union1d(doubted, whole)


def _split_by_rows(places: Places, width: int) -> list[Places]:
    """Split ascending places (n,) so that each part has at most _SETTLED_ROWS rows."""
    number = np.cumsum(np.diff(places // width, prepend=-1) > 0) - 1
    cuts = np.flatnonzero(np.diff(number // _SETTLED_ROWS)) + 1
    return np.split(places, cuts) if len(places) else []


def _settle(places: Places, stored: Bits, dtype: str, edit: Edit, factor: Array | None) -> Array:
    """Return the elements at `places` (n,) in float64, each summed as `arithmetic.patch` sums it.

    `factor` (rows, r) has W left in the fixed order; None where it is not known.
    """
    row, column = np.divmod(places, stored.shape[1])
    if factor is None:
        rows, row_of = np.unique(row, return_inverse=True)
        A = sum_in_order(dtypes.native_values(stored[rows], dtype).astype(np.float64), edit.left)[row_of]
    else:
        A = factor[row]
    total = np.zeros(len(places))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        W = dtypes.native_values(stored[row, column], dtype).astype(np.float64)
        for j in range(A.shape[1]):
            total += A[:, j] * edit.right[j, column]
        return np.asarray(W + total)


def _edit_block(W: Array, factor: Array, right: Array, value: Array) -> None:
    """Write the edited values of a block, W + factor right, into `value` (rows, width). `factor` is (rows, r)."""
    with np.errstate(all="ignore"):
        np.matmul(factor, right, out=value)
        np.add(value, W, out=value)


def _in_fixed_order(raw: bytes, dtype: str, width: int, form: str, left: Real, right: Real | None) -> Array:
    """Return the edited rows in float64, computed in the fixed order of `arithmetic`."""
    return patch(dtypes.decode(raw, dtype, (-1, width)), form, left, right)
