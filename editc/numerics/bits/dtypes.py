"""Convert between the raw bytes of a tensor and float64, for the dtypes of safetensors, without torch or ml_dtypes.

Every conversion to a narrower dtype rounds once, to the nearest number, ties to even. Bytes are row-major and
little-endian.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from math import prod
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Real: TypeAlias = NDArray[np.floating]

BITS: Mapping[str, int] = MappingProxyType(
    {
        **{"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "C64": 64, "BOOL": 8},
        **{f"{sign}{bits}": bits for sign in "IU" for bits in (8, 16, 32, 64)},
        **dict.fromkeys(("F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E5M2FNUZ", "F8_E4M3FNUZ"), 8),
        **{"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4},
    }
)
"""Bits of one element of every dtype that a safetensors header may name (safetensors 0.8)."""

EDITABLE = ("F64", "F32", "F16", "BF16")
"""The dtypes of weights that editc edits: float64 holds their numbers exactly, and one rounding writes them back."""

EIGHT_BITS: Mapping[str, int] = MappingProxyType({"F8_E4M3": 4, "F8_E5M2": 5})
"""The 8-bit floats that can be decoded and encoded as well -> bits of their exponent. E4M3 has no infinity."""

_CONVERTED = 1 << 16
"""Numbers that are converted to bfloat16, or looked at, at a time. Chosen by hand: 512 kB in float64."""

_NUMPY = MappingProxyType({"F64": "<f8", "F32": "<f4", "F16": "<f2"})
"""dtype of safetensors -> the dtype of numpy with the same bytes."""


def nbytes(dtype: str, shape: tuple[int, ...]) -> int | None:
    """Return the bytes of a tensor, or None if its bits do not fill whole bytes."""
    bits = BITS[dtype] * prod(shape)
    return None if bits % 8 else bits // 8


def decode(raw: bytes | memoryview, dtype: str, shape: tuple[int, ...]) -> Array:
    """Return the tensor `raw` in float64, exact, in `shape`. `dtype` is one of EDITABLE or EIGHT_BITS."""
    if dtype in EIGHT_BITS:
        return _eight_bits(dtype)[np.frombuffer(raw, np.uint8)].reshape(shape)
    with np.errstate(invalid="ignore"):  # a signalling NaN must not cause a warning
        return native_floats(raw, dtype).astype(np.float64).reshape(shape)


def native_floats(raw: bytes | memoryview, dtype: str) -> NDArray[np.floating]:
    """Return the stored numbers (n,) in the narrowest float type of numpy that represents them.

    `dtype` is one of EDITABLE.
    """
    return native_values(stored_patterns(raw, dtype), dtype)


def stored_patterns(raw: bytes | memoryview, dtype: str) -> NDArray[np.unsignedinteger]:
    """Return the stored numbers (n,) as bit patterns, without a copy. `dtype` is one of EDITABLE."""
    return np.frombuffer(raw, f"<u{BITS[dtype] // 8}")


def native_values(patterns: NDArray[np.unsignedinteger], dtype: str) -> NDArray[np.floating]:
    """Return bit patterns of any shape as numbers, in the narrowest float type of numpy that represents them."""
    if dtype == "BF16":
        return (patterns.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return patterns.view(_NUMPY[dtype])


def encode(values: Real, dtype: str) -> bytes:
    """Return the bytes of `values`, float64 or float32, in `dtype`, each value rounded once.

    A value that is too large becomes infinite, or NaN in E4M3 (see `is_finite`).
    """
    if dtype in EIGHT_BITS:
        return _to_eight_bits(values, dtype).tobytes()
    return encode_patterns(values, dtype).tobytes()


def encode_patterns(values: Real, dtype: str) -> NDArray[np.unsignedinteger]:
    """Return `values` in `dtype` as bit patterns of the same shape, each value rounded once.

    Patterns are little-endian unsigned integers as wide as `dtype`, which is one of EDITABLE.
    """
    if dtype == "BF16":
        return _to_bfloat16(values).astype("<u2", copy=False)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return values.astype(_NUMPY[dtype]).view(f"<u{BITS[dtype] // 8}")


def largest(dtype: str) -> float:
    """Return the largest finite value of an 8-bit float."""
    return float(np.nanmax(np.where(np.isinf(_eight_bits(dtype)), np.nan, _eight_bits(dtype))))


def round_to(values: Array, dtype: str) -> Array:
    """Return `values` in float64 as they are after a round trip through `dtype`, in the same shape."""
    return decode(encode(values, dtype), dtype, values.shape)


def are_halves(part: NDArray[Any]) -> bool:
    """Say whether half precision (F16) holds every number of `part` exactly."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return bool(np.array_equal(part.astype(np.float16).astype(np.float32), part))


def is_finite(raw: bytes | memoryview, dtype: str) -> bool:
    """Say whether no element of `raw` is infinite or NaN, by its exponent bits alone."""
    if dtype in EIGHT_BITS:
        return bool(np.isfinite(_eight_bits(dtype)[np.unique(np.frombuffer(raw, np.uint8))]).all())
    width, mask = {"F64": ("<u8", 0x7FF << 52), "F32": ("<u4", 0xFF << 23), "F16": ("<u2", 0x1F << 10)}.get(
        dtype, ("<u2", 0xFF << 7)
    )
    bits = np.frombuffer(raw, width)
    limit = bits.dtype.type(mask)
    parts = (bits[start : start + _CONVERTED] for start in range(0, len(bits), _CONVERTED))
    return all((part & limit).max() < limit for part in parts)


@cache
def _eight_bits(dtype: str) -> Array:
    """Return the value of each of the 256 patterns (256,) of an 8-bit float.

    Source: Micikevicius and others, FP8 formats for deep learning, 2022.
    """
    exponent_bits = EIGHT_BITS[dtype]
    mantissa_bits = 7 - exponent_bits
    codes = np.arange(128)
    exponent, mantissa = codes >> mantissa_bits, codes & ((1 << mantissa_bits) - 1)
    bias = (1 << (exponent_bits - 1)) - 1
    part = mantissa / (1 << mantissa_bits) + (exponent > 0)
    values = np.ldexp(part, np.maximum(exponent, 1) - bias)
    if dtype == "F8_E4M3":
        values[127] = np.nan
    else:
        values[124:] = [np.inf, np.nan, np.nan, np.nan]
    table = np.concatenate([values, -values])
    table.setflags(write=False)
    return table


def _to_eight_bits(values: Real, dtype: str) -> NDArray[np.uint8]:
    """Return the patterns (n,) of all values, flattened.

    A pattern is the number of midpoints between neighbouring numbers that are below |x|; a tie goes to the even
    neighbour. The grid goes on for one step past the largest finite value. The pattern of that step is infinity or, in
    E4M3, NaN.
    """
    finite = _eight_bits(dtype)[:128]
    finite = finite[np.isfinite(finite)]
    grid = np.append(finite, 2 * finite[-1] - finite[-2])
    middle = (grid[1:] + grid[:-1]) / 2
    size = np.abs(values).reshape(-1)
    codes = np.searchsorted(middle, size)
    tie = (codes < len(middle)) & (middle[np.minimum(codes, len(middle) - 1)] == size)
    codes = np.where(np.isnan(size), 127, codes + (tie & (codes % 2 == 1)))
    sign = np.signbit(values).reshape(-1).astype(np.uint8) << 7
    signed: NDArray[np.uint8] = np.bitwise_or(codes.astype(np.uint8), sign)
    return signed


def _to_bfloat16(values: Real) -> NDArray[np.uint16]:
    """Return the bfloat16 patterns of `values`, in their shape, some at a time so that scratch stays in the caches.

    float64 is first rounded to float32 "to odd", and then to nearest even. The second rounding can then tell whether
    the first dropped anything, so both together are one correct rounding (Boldo and Melquiond, 2008). Numbers that
    float32 holds, such as those of a weight in half precision, need the second rounding only.
    """
    single = values.dtype == np.float32
    entries: Real = np.ascontiguousarray(values if single else values.astype(np.float64, copy=False)).reshape(-1)
    out = np.empty(entries.shape, np.uint16)
    for start in range(0, len(entries), _CONVERTED):
        part = entries[start : start + _CONVERTED]
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            near = part.astype(np.float32, copy=False)
        exact = bool(np.isfinite(part).all() if single else (near == part).all())
        bits = near.view(np.uint32) if exact else _to_odd_float32(part)
        found = bits >> np.uint32(16)
        np.bitwise_and(found, np.uint32(1), out=found)
        np.add(np.add(found, bits, out=found), np.uint32(0x7FFF), out=found)
        np.right_shift(found, np.uint32(16), out=found)
        if not exact:
            is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
            found = np.where(is_nan, (bits | np.uint32(0x00400000)) >> np.uint32(16), found)
        out[start : start + _CONVERTED] = found
    return out.reshape(values.shape)


def _to_odd_float32(values: Real) -> NDArray[np.uint32]:
    """Return float32 patterns of `values`, cut toward zero, with the last bit set wherever something was cut off."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        near = values.astype(np.float32)
    wide = near.astype(np.float64)
    inexact = (wide != values) & ~np.isnan(values)
    away = inexact & (np.abs(wide) > np.abs(values))
    bits = near.view(np.uint32) - away.astype(np.uint32)
    odd: NDArray[np.uint32] = bits | inexact.astype(np.uint32)
    return odd


def sha256(raw: bytes | memoryview) -> str:
    """Return the SHA-256 digest of `raw` in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def transpose(raw: bytes | memoryview, dtype: str, shape: tuple[int, int]) -> bytes:
    """Return the bytes of the transpose of a matrix stored as `raw`, (rows, columns) = `shape`."""
    item = np.dtype(f"<u{BITS[dtype] // 8}")
    return np.frombuffer(raw, item).reshape(shape).T.tobytes()
