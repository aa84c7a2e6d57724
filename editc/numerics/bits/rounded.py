"""Compute edited weights in their stored dtype at the speed of a BLAS, bit for bit as `arithmetic` defines them.

`arithmetic` sums in a fixed order, which is slow. A BLAS adds the same terms in another order, and both sums are within
a known distance e of each other (`row_sums`). What is stored is the sum x rounded to a few bits. If x - e and x + e
round to the same number, that number is the result in any order (Ziv's rounding test, 1991). Elements where they differ
go to `doubt`, which bounds each on its own, and computes what is left in the fixed order. So no bit depends on the
BLAS; only the time does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.bits import dtypes
from editc.numerics.bits.arithmetic import patch
from editc.numerics.bits.doubt import Doubts, settle
from editc.numerics.bits.row_sums import ErrorBound, Pieces, RowSums, WholeRows
from editc.numerics.bits.scratch import SUMMED_BLOCKS, Scratch, block_rows

Array: TypeAlias = NDArray[np.float64]
Real: TypeAlias = NDArray[np.floating]
Bits: TypeAlias = NDArray[np.unsignedinteger]
Places: TypeAlias = NDArray[np.intp]

_SETTLED_ROWS = 512
"""Rows with elements in doubt that are settled together. Chosen by hand: 8 MB in float64 at a width of 2048."""
_NONE = np.zeros(0, np.intp)
"""No places."""
_HALF_FORMATS = {"F16": (13, 2.0**-112, 0x7C00), "BF16": (16, 1.0, 0x7F80)}
"""How F16 and BF16 relate to float32: the bits of a float32 pattern that are cut off, the scale to apply first, and the
pattern from which on the number is infinite."""
_TIE_MARGIN = 8
"""A number at least this many float32 patterns from a tie is rounded without doubt. See `_round_to_halves` for the
reason."""


@dataclass(frozen=True)
class Rounded:
    """Edited rows in one dtype."""

    raw: bytes
    """Their bytes."""
    doubted: int = 0
    """Elements that two ends of the bound round to different numbers."""
    exact: int = 0
    """Elements among them that were summed in the fixed order."""


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
    return round_edited(raw, dtype, (dtype,), width, form, left, right)[0].raw


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
    doubted, sums = _round_rows(stored, dtype, wanted, outs, (form, left, right), value)
    made = tuple(
        _settled(out, found, one, stored, dtype, (form, left, right), sums)
        for one, out, found in zip(wanted, outs, doubted, strict=True)
    )
    return made, None if value is None else QuickSums(np.vstack([one.value for one in sums]), value)


def _round_rows(
    stored: Bits,
    dtype: str,
    wanted: Sequence[str],
    outs: Sequence[Bits],
    edit: tuple[str, Real, Real],
    values: Array | None = None,
) -> tuple[list[Places], list[RowSums]]:
    """Write the edited rows in each dtype of `wanted` into `outs`, (rows, width) as `stored`, and before rounding into
    `values`. Return the places (n,) of uncertain elements of each, and the sums of all rows."""
    (form, left, right), (rows, width) = (edit[0], *(part.astype(np.float64) for part in edit[1:])), stored.shape
    bound, step, space = _error_bound(form, wanted, left, right), block_rows(width), Scratch.for_rows(rows, width)
    doubted: list[list[Places]] = [[_NONE] for _ in wanted]
    sums: list[RowSums] = []
    for first in range(0, rows, step * SUMMED_BLOCKS):
        W = space.decode(stored[first : first + step * SUMMED_BLOCKS], dtype)
        with np.errstate(all="ignore"):
            sums.append(bound.sum_rows(W, left if form == "shared" else left[first : first + len(W)]))
        for start in range(0, len(W), step):
            part = slice(start, min(start + step, len(W)))
            block, mine = space.first(part.stop - part.start), slice(first + part.start, first + part.stop)
            value = block.value if values is None else values[mine]
            _edit_block(W[part], sums[-1].value[part], right, value)
            for one, out, found in zip(wanted, outs, doubted, strict=True):
                places = _round_block(one, value, sums[-1].size[part], bound.columns, block, out[mine])
                found.append(mine.start * width + places)
    return [np.concatenate(found) for found in doubted], sums


def _settled(
    out: Bits,
    doubted: Places,
    dtype: str,
    stored: Bits,
    stored_as: str,
    edit: tuple[str, Real, Real],
    sums: Sequence[RowSums],
) -> Rounded:
    """Settle the elements `doubted` (n,) of `out`, which has `dtype`. `stored` has the patterns before the edit, and
    `sums` the sums of all rows."""
    if not len(doubted):
        return Rounded(out.tobytes())
    form, left, right = edit
    known = _pieces(sums)
    rows, row = np.unique(doubted // out.shape[1], return_inverse=True)
    exact = 0
    for start in range(0, len(rows), _SETTLED_ROWS):
        mine = slice(start, start + _SETTLED_ROWS)
        at = np.flatnonzero((row >= mine.start) & (row < mine.stop))
        W = dtypes.native_values(stored[rows[mine]], stored_as).astype(np.float64)
        factor = left if form == "shared" else left[rows[mine]]
        pieces = known and (known[0][rows[mine]], known[1][rows[mine]])
        doubts = Doubts(W, factor, right, form == "shared", row[at] - start, doubted[at] % out.shape[1], pieces)
        out.reshape(-1)[doubted[at]], slow = settle(doubts, dtype)
        exact += slow
    return Rounded(out.tobytes(), len(doubted), exact)


def _pieces(sums: Sequence[RowSums]) -> tuple[Array, Array] | None:
    """Return the sums of all rows and their errors, (rows, r) each. None where pieces were not summed."""
    errors = [one.error for one in sums if one.error is not None]
    return (np.vstack([one.value for one in sums]), np.vstack(errors)) if errors else None


def _error_bound(form: str, wanted: Sequence[str], left: Array, right: Array) -> ErrorBound:
    """Return the bound that takes less time: the closer one where float32 is wanted of a shared edit."""
    shared = form == "shared"
    return Pieces.of(left, right) if shared and "F32" in wanted else WholeRows.of(shared, left, right)


def _edit_block(W: Array, factor: Array, right: Array, value: Array) -> None:
    """Write the edited values of a block, W + factor right, into `value` (rows, width). `factor` is (rows, r)."""
    with np.errstate(all="ignore"):
        np.matmul(factor, right, out=value)
        np.add(value, W, out=value)


def _round_block(dtype: str, value: Array, size: Array, bound: Array, space: Scratch, out: Bits) -> Places:
    """Write `value`, rounded, into `out`, (rows, width) both, and return the places of uncertain elements (n,).

    `bound` (width,) are the `columns` of the error bound, and `size` (rows,) is that of the sums.
    """
    low, high = space.ends
    with np.errstate(all="ignore"):
        if dtype == "F32":
            np.multiply(size[:, None], bound, out=high)
            np.subtract(value, high, out=low)
            np.add(value, high, out=high)
            doubted = _round_to_floats(low, high, space.bits, out)
        else:
            doubted = _round_to_halves(value, size, bound, dtype, space.bits, out)
        unsound = np.flatnonzero(~(np.isfinite(size) & (size > 0)))
    if not len(unsound):
        return doubted
    whole = (unsound[:, None] * len(bound) + np.arange(len(bound))).reshape(-1)
    return np.union1d(doubted, whole)


def _round_to_floats(low: Array, high: Array, bits: NDArray[np.uint32], out: Bits) -> Places:
    """Write `low` rounded to float32 into `out`, and return the places (n,) where `high` rounds to another number.

    `low`, `high` and `out` are (rows, width).
    """
    for end, pattern in ((low, bits[0]), (high, bits[1])):
        np.copyto(pattern.view(np.float32), end, casting="same_kind")
    out[...] = bits[0]
    return np.flatnonzero(bits[0] != bits[1])


def _round_to_halves(
    value: Array, size: Array, bound: Array, dtype: str, bits: NDArray[np.uint32], out: Bits
) -> Places:
    """Write `value` rounded to F16 or BF16 into `out`, and return the places (n,) where value +- size bound rounds to
    different numbers.

    `value` and `out` are (rows, width), `size` is (rows,), `bound` is (width,).

    As float32 patterns, F16 (scaled so that its exponents are those of float32) and BF16 are what remains after the
    last bits are cut off, and a tie is a float32 number. One step between two patterns at x is at least 2^-24 |x|. So
    if |x| is above 2^24 e, the exact sum, at most e away from `value`, is less than 2 steps from the pattern of
    `value`, or 4 steps below a power of two, where steps are half as wide. If no tie lies within 8 steps, all these
    numbers round to one side. A few elements in a thousand fail this test; for them both ends are rounded directly.
    """
    cut, scale, infinite = _HALF_FORMATS[dtype]
    a, b, sign, _ = bits
    np.copyto(a.view(np.float32), value, casting="same_kind")
    if scale != 1.0:
        np.multiply(a.view(np.float32), np.float32(scale), out=a.view(np.float32))
    np.add(a, np.uint32(1 << cut - 1), out=a)
    np.bitwise_and(a, np.uint32(0x7FFFFFFF), out=b)
    np.bitwise_and(np.right_shift(a, np.uint32(16), out=sign), np.uint32(0x8000), out=sign)
    np.bitwise_or(sign, np.right_shift(b, np.uint32(cut), out=a), out=sign)
    np.copyto(out, sign, casting="same_kind")
    small = np.float32(2.0**24 * scale * (size.max() * bound.max())).view(np.uint32) + np.uint32(1 << cut)
    np.bitwise_and(np.add(b, np.uint32(_TIE_MARGIN), out=a), np.uint32((1 << cut) - 1), out=a)
    # b is unsigned: where it is below `small`, the difference wraps around to a large number, which counts as far too
    far = np.subtract(b, small, out=b) >= np.uint32(max(0, (infinite << cut) - int(small)))
    doubtful = np.flatnonzero((a <= np.uint32(2 * _TIE_MARGIN)) | far)
    error = size[doubtful // len(bound)] * bound[doubtful % len(bound)]
    ends = (np.subtract(value.ravel()[doubtful], error), np.add(value.ravel()[doubtful], error))
    first, other = (dtypes.encode_patterns(end, dtype) for end in ends)
    out.reshape(-1)[doubtful] = first
    return np.asarray(doubtful[first != other])


def _in_fixed_order(raw: bytes, dtype: str, width: int, form: str, left: Real, right: Real | None) -> Array:
    """Return the edited rows in float64, computed in the fixed order of `arithmetic`."""
    return patch(dtypes.decode(raw, dtype, (-1, width)), form, left, right)
