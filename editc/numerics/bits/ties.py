"""Round a block of values to a dtype, and find those that lie so near a tie that their error may matter."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.bits import dtypes
from editc.numerics.bits.scratch import Scratch

Array: TypeAlias = NDArray[np.float64]
Bits: TypeAlias = NDArray[np.unsignedinteger]
Places: TypeAlias = NDArray[np.intp]

_HALF_FORMATS = {"F16": (13, 2.0**-112, 0x7C00), "BF16": (16, 1.0, 0x7F80)}
"""How F16 and BF16 relate to float32: the bits of a float32 pattern that are cut off, the scale to apply first, and the
pattern from which on the number is infinite."""
_TIE_MARGIN = 8
"""A number at least this many float32 patterns from a tie is rounded without doubt. See `_round_to_halves` for the
reason."""


def round_block(dtype: str, value: Array, error: float, space: Scratch, out: Bits) -> Places:
    """Write `value` rounded into `out`, (rows, width) both. Return the places (n,) of elements that a change of at most
    `error` may round to another number; elsewhere it cannot."""
    if not np.isfinite(error):
        return np.arange(value.size)
    with np.errstate(all="ignore"):
        return (_round_to_floats if dtype == "F32" else _round_to_halves)(value, error, dtype, space, out)


def settle_ends(dtype: str, value: Array, error: Array, places: Places, out: Bits) -> Places:
    """Write `value` - `error` rounded into the `places` of `out`, (n,) all three. Return the places where `value` +
    `error` rounds to another number."""
    with np.errstate(all="ignore"):
        ends = dtypes.encode_patterns(np.concatenate([value - error, value + error]), dtype)
    low, high = ends[: len(places)], ends[len(places) :]
    out.reshape(-1)[places] = low
    return np.asarray(places[low != high])


def _round_to_floats(value: Array, error: float, dtype: str, space: Scratch, out: Bits) -> Places:
    """See `round_block`."""
    high = space.bits[0]
    for pattern, side in ((out, -error), (high, error)):
        np.copyto(pattern.view(np.float32), np.add(value, side, out=space.end), casting="same_kind")
    return np.flatnonzero(out != high)


def _round_to_halves(value: Array, error: float, dtype: str, space: Scratch, out: Bits) -> Places:
    """See `round_block`; for F16 and BF16.

    As float32 patterns, F16 (scaled so that its exponents are those of float32) and BF16 are what remains after the
    last bits are cut off, and a tie is a float32 number. One step between two patterns at x is at least 2^-24 |x|. So
    if |x| is above 2^24 e, the exact sum, at most e away from `value`, is less than 2 steps from the pattern of
    `value`, or 4 steps below a power of two, where steps are half as wide. If no tie lies within 8 steps, all these
    numbers round to one side. A few elements in a thousand fail this test.
    """
    cut, scale, infinite = _HALF_FORMATS[dtype]
    a, b, c = space.bits
    np.copyto(a.view(np.float32), value, casting="same_kind")
    if scale != 1.0:
        np.multiply(a.view(np.float32), np.float32(scale), out=a.view(np.float32))
    np.add(a, np.uint32(1 << cut - 1), out=a)
    np.right_shift(a, np.uint32(cut), out=b)
    if cut == 13:  # the sign is three bits too far to the left; what stays beyond 16 bits is dropped
        np.bitwise_and(np.right_shift(b, np.uint32(3), out=c), np.uint32(0x8000), out=c)
        np.bitwise_or(b, c, out=b)
    np.copyto(out, b, casting="same_kind")
    np.copyto(space.last, a, casting="same_kind")
    np.bitwise_and(
        np.add(space.last, np.uint16(_TIE_MARGIN), out=space.last), np.uint16((1 << cut) - 1), out=space.last
    )
    near = space.last <= np.uint16(2 * _TIE_MARGIN)
    small = np.float32(2.0**24 * scale * error).view(np.uint32) + np.uint32(1 << cut)
    np.bitwise_and(a, np.uint32(0x7FFFFFFF), out=a)
    # a is unsigned: where it is below `small`, the difference wraps around to a large number, which counts as far too
    far = np.subtract(a, small, out=a) >= np.uint32(max(0, (infinite << cut) - int(small)))
    return np.flatnonzero(np.logical_or(near, far, out=near))
