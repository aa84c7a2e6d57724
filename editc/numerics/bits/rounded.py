"""Edited weights in their stored dtype, as `arithmetic` defines them, at the speed of a BLAS.

The sum that counts has a fixed order and is slow. A BLAS adds the same terms in an order of its own, and both sums lie
within a known distance e of each other. What is wanted is the sum rounded to a few bits: where x - e and x + e round to
the same number, that number is the result, whatever the order was (Ziv's rounding test, 1991). The rows where they do
not are computed in the fixed order. So no bit depends on the BLAS; only the time does.

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

_BLOCK = 1 << 16
"""Elements at a time: the few such blocks that are in use (256 or 512 kB each) stay in the caches, and what numpy takes
for each call is little beside them."""
_U = 2.0**-53
_CUT = {"F16": (13, 2.0**-112, 0x7C00), "BF16": (16, 1.0, 0x7F80)}
"""How many bits of a float32 pattern are cut off, after what scaling, and from which pattern on it is infinite."""
_NEAR = 8
"""How many float32 patterns away from a tie there is no doubt any more."""


def edited_rows(raw: bytes, dtype: str, width: int, form: str, left: Real, right: Real | None) -> bytes:
    """The edited rows from their stored bytes, `width` elements a row; `left`, `right` as `arithmetic.patch` takes
    them. Equal to `encode(patch(decode(raw)))`, bit for bit."""
    if form == "dense" or right is None or dtype == "F64":
        return _by_rows(raw, dtype, width, form, left, right)
    item = dtypes.BITS[dtype] // 8
    rows, step = len(raw) // (item * width), max(1, _BLOCK // width)
    out = np.empty((rows, width), f"<u{item}")
    unsure = np.zeros(rows, bool)
    wide_left, wide_right = left.astype(np.float64), right.astype(np.float64)
    bound = _bound(form, wide_left, wide_right)
    view, space = memoryview(raw), _Space.for_rows(min(rows, step), width)
    for start in range(0, rows, step):
        part = slice(start, min(rows, start + step))
        block = dtypes.narrow(view[item * width * part.start : item * width * part.stop], dtype).reshape(-1, width)
        rows_left = wide_left if form == "shared" else wide_left[part]
        unsure[part] = _tested(block, dtype, form, rows_left, wide_right, bound, space.first(len(block)), out[part])
    again = np.flatnonzero(unsure)
    if len(again):
        stored = np.frombuffer(raw, out.dtype).reshape(rows, width)[again].tobytes()
        factor = left if form == "shared" else left[again]
        exact = _by_rows(stored, dtype, width, form, factor, right)
        out[again] = np.frombuffer(exact, out.dtype).reshape(-1, width)
    return out.tobytes()


@dataclass(frozen=True)
class _Space:
    """Memory for one block, used for all of them: fresh pages cost more than what is computed in them."""

    reals: Array
    bits: NDArray[np.uint32]

    @classmethod
    def for_rows(cls, rows: int, width: int) -> _Space:
        return cls(np.empty((3, rows, width)), np.empty((4, rows, width), np.uint32))

    def first(self, rows: int) -> _Space:
        return _Space(self.reals[:, :rows], self.bits[:, :rows])


def _tested(
    stored: Real, dtype: str, form: str, left: Array, right: Array, bound: Array, space: _Space, out: Bits
) -> Flags:
    """Puts the rounded rows into `out` and says which of them are not certain."""
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
            same = _same_floats(low, high, space.bits, out)
        else:
            same = _same_halves(value, size, bound, dtype, space.bits, out)
        sound: Flags = same & np.isfinite(size) & (size > 0)
        return ~sound


def _same_floats(low: Array, high: Array, bits: NDArray[np.uint32], out: Bits) -> Flags:
    """Puts what `low` rounds to in float32 into `out`, and says in which rows `high` rounds to the same."""
    for end, pattern in ((low, bits[0]), (high, bits[1])):
        np.copyto(pattern.view(np.float32), end, casting="same_kind")
    out[...] = bits[0]
    same: Flags = (bits[0] == bits[1]).all(axis=1)
    return same


def _same_halves(value: Array, size: Array, bound: Array, dtype: str, bits: NDArray[np.uint32], out: Bits) -> Flags:
    """Puts what `value` rounds to into `out`, and says in which rows all of value +- size bound rounds to that.

    Seen as float32 patterns, F16 (once scaled so that its exponents are those of float32) and BF16 are what is left
    when the last bits are cut, and a tie is a float32 number. A step between two patterns at x is at least 2^-24 |x|,
    so where |x| is above 2^24 e, the sum, e away from `value`, is less than 2 steps from the pattern of `value`, or 4
    below a power of two, where steps are half as wide. No tie lies within 8: all of that rounds to one side. A few
    elements in a thousand fail this; for these both ends are rounded directly.
    """
    cut, scale, infinite = _CUT[dtype]
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
    np.bitwise_and(np.add(b, np.uint32(_NEAR), out=a), np.uint32((1 << cut) - 1), out=a)
    far = np.subtract(b, small, out=b) >= np.uint32(max(0, (infinite << cut) - int(small)))  # below wraps to above
    doubtful = np.flatnonzero((a <= np.uint32(2 * _NEAR)) | far)
    error = size[doubtful // len(bound)] * bound[doubtful % len(bound)]
    ends = (np.subtract(value.ravel()[doubtful], error), np.add(value.ravel()[doubtful], error))
    first, other = (dtypes.patterns(end, dtype) for end in ends)
    out.reshape(-1)[doubtful] = first
    certain = np.ones(len(value), bool)
    certain[doubtful[first != other] // len(bound)] = False
    return certain


def _bound(form: str, left: Array, right: Array) -> Array:
    """e of one column, for a row of length 1: (width,). A tenth more than the theory asks for.

    shared: the terms of both products add up to at most |W_r| q_c with q_c = sum_j |left_j| |right_jc| (Cauchy-Schwarz
    on each column of left); low-rank: to |left_r| |right_c|. The two sums differ by 2 gamma of that, gamma over both
    lengths; adding W and then e rounds twice more, each by u (|W_rc| + the product).
    """
    with np.errstate(all="ignore"):
        if form == "shared":
            reach, terms = np.sqrt((left * left).sum(axis=0)) @ np.abs(right), sum(left.shape)
        else:
            reach, terms = np.sqrt((right * right).sum(axis=0)), len(right)
        found: Array = 2.2 * _U * ((terms + 8) * reach + 2)
    return found


def _by_rows(raw: bytes, dtype: str, width: int, form: str, left: Real, right: Real | None) -> bytes:
    W = dtypes.decode(raw, dtype, (-1, width))
    return dtypes.encode(patch(W, form, left, right), dtype)
