"""Compute edited weights in their stored dtype at the speed of a BLAS, bit for bit as `arithmetic` defines them.

`arithmetic` sums in a fixed order, which is slow. A BLAS adds the same terms in another order, and both sums are within
a known distance e of each other. What is stored is the sum x rounded to a few bits. If x - e and x + e round to the
same number, that number is the result in any order (Ziv's rounding test, 1991). Rows where they differ are computed
again in the fixed order. So no bit depends on the BLAS; only the time does.

    |fl(a b) - a b| <= gamma_n |a| |b|   for n terms in any order, gamma_n = n u / (1 - n u), u = 2^-53
                                         (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.bits import dtypes
from editc.numerics.bits.arithmetic import patch

Array: TypeAlias = NDArray[np.float64]
Real: TypeAlias = NDArray[np.floating]
Bits: TypeAlias = NDArray[np.unsignedinteger]
Flags: TypeAlias = NDArray[np.bool_]

_BLOCK_ELEMENTS = 1 << 16
"""Elements worked on at a time. Chosen by hand: the few blocks in use (256 or 512 kB each) stay in the processor's
caches, and the cost of a numpy call is small beside the work."""
_UNIT_ROUNDOFF = 2.0**-53
"""u, the unit roundoff of float64."""
_HALF_FORMATS = {"F16": (13, 2.0**-112, 0x7C00), "BF16": (16, 1.0, 0x7F80)}
"""How F16 and BF16 relate to float32: the bits of a float32 pattern that are cut off, the scale to apply first, and the
pattern from which on the number is infinite."""
_TIE_MARGIN = 8
"""A number at least this many float32 patterns from a tie is rounded without doubt. See `_round_to_halves` for the
reason."""


def edited_rows(raw: bytes, dtype: str, width: int, form: str, left: Real, right: Real | None) -> bytes:
    """Return the edited rows as stored bytes, from the stored bytes `raw` of rows with `width` elements each.

    `left` and `right` are those of `arithmetic.patch`. The result equals `encode(patch(decode(raw)))` bit for bit.
    """
    if form == "dense" or right is None or dtype == "F64":
        return _in_fixed_order(raw, dtype, width, form, left, right)
    item = dtypes.BITS[dtype] // 8
    rows, step = len(raw) // (item * width), max(1, _BLOCK_ELEMENTS // width)
    out = np.empty((rows, width), f"<u{item}")
    unsure = np.zeros(rows, bool)
    wide_left, wide_right = left.astype(np.float64), right.astype(np.float64)
    bound = _error_bound(form, wide_left, wide_right)
    view, space = memoryview(raw), _Scratch.for_rows(min(rows, step), width)
    for start in range(0, rows, step):
        part = slice(start, min(rows, start + step))
        block = dtypes.native_floats(view[item * width * part.start : item * width * part.stop], dtype).reshape(
            -1, width
        )
        rows_left = wide_left if form == "shared" else wide_left[part]
        unsure[part] = _round_and_test(
            block, dtype, form, rows_left, wide_right, bound, space.first(len(block)), out[part]
        )
    again = np.flatnonzero(unsure)
    if len(again):
        stored = np.frombuffer(raw, out.dtype).reshape(rows, width)[again].tobytes()
        factor = left if form == "shared" else left[again]
        exact = _in_fixed_order(stored, dtype, width, form, factor, right)
        out[again] = np.frombuffer(exact, out.dtype).reshape(-1, width)
    return out.tobytes()


@dataclass(frozen=True)
class _Scratch:
    """Memory for one block, reused for every block: touching fresh memory pages costs more than the arithmetic."""

    reals: Array
    """(3, rows, width)."""
    bits: NDArray[np.uint32]
    """(4, rows, width)."""

    @classmethod
    def for_rows(cls, rows: int, width: int) -> _Scratch:
        """Allocate memory for blocks of `rows` rows."""
        return cls(np.empty((3, rows, width)), np.empty((4, rows, width), np.uint32))

    def first(self, rows: int) -> _Scratch:
        """Return a view of the first `rows` rows."""
        return _Scratch(self.reals[:, :rows], self.bits[:, :rows])


def _round_and_test(
    stored: Real, dtype: str, form: str, left: Array, right: Array, bound: Array, space: _Scratch, out: Bits
) -> Flags:
    """Write the rounded rows into `out` (rows, width) and return which rows (rows,) are uncertain.

    `stored` (rows, width) are the weights before the edit, `bound` (width,) is from `_error_bound`.
    """
    W, value, error = space.reals
    with np.errstate(all="ignore"):
        np.copyto(W, stored)
        size = np.sqrt(np.einsum("ij,ij->i", W, W))
        if form == "low-rank":
            size += np.sqrt(np.einsum("ij,ij->i", left, left))
        np.matmul(W @ left if form == "shared" else left, right, out=value)
        np.add(value, W, out=value)
        if dtype == "F32":
            np.multiply(size[:, None], bound, out=error)
            low, high = np.subtract(value, error, out=W), np.add(value, error, out=value)
            same = _round_to_floats(low, high, space.bits, out)
        else:
            same = _round_to_halves(value, size, bound, dtype, space.bits, out)
        sound: Flags = same & np.isfinite(size) & (size > 0)
        return ~sound


def _round_to_floats(low: Array, high: Array, bits: NDArray[np.uint32], out: Bits) -> Flags:
    """Write `low` rounded to float32 into `out`, and return in which rows (rows,) `high` rounds to the same numbers.

    `low`, `high` and `out` are (rows, width).
    """
    for end, pattern in ((low, bits[0]), (high, bits[1])):
        np.copyto(pattern.view(np.float32), end, casting="same_kind")
    out[...] = bits[0]
    same: Flags = (bits[0] == bits[1]).all(axis=1)
    return same


def _round_to_halves(value: Array, size: Array, bound: Array, dtype: str, bits: NDArray[np.uint32], out: Bits) -> Flags:
    """Write `value` rounded to F16 or BF16 into `out`, and return in which rows value +- size bound rounds to the same.

    `value` and `out` are (rows, width), `size` is (rows,), `bound` is (width,), and the result is (rows,).

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
    certain = np.ones(len(value), bool)
    certain[doubtful[first != other] // len(bound)] = False
    return certain


def _error_bound(form: str, left: Array, right: Array) -> Array:
    """Return e for one column and a row of length 1, (width,). It is a tenth larger than theory asks for.

    For `shared`, the terms of both products add up to at most |W_r| q_c with q_c = sum_j |left_j| |right_jc|
    (Cauchy-Schwarz on each column of left). For `low-rank` they add up to at most |left_r| |right_c|. The two sums
    differ by 2 gamma of that, where gamma covers both lengths. Adding W and then e rounds twice more, each time by u
    (|W_rc| + the product).
    """
    with np.errstate(all="ignore"):
        if form == "shared":
            reach, terms = np.sqrt((left * left).sum(axis=0)) @ np.abs(right), sum(left.shape)
        else:
            reach, terms = np.sqrt((right * right).sum(axis=0)), len(right)
        found: Array = 2.2 * _UNIT_ROUNDOFF * ((terms + 8) * reach + 2)
    return found


def _in_fixed_order(raw: bytes, dtype: str, width: int, form: str, left: Real, right: Real | None) -> bytes:
    """Return the edited rows as stored bytes, computed in the fixed order of `arithmetic`."""
    W = dtypes.decode(raw, dtype, (-1, width))
    return dtypes.encode(patch(W, form, left, right), dtype)
