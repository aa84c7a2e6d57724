"""The block formats of GGUF with one scale a block of 32 weights: Q8_0, Q5_0, Q5_1, Q4_0, Q4_1; numpy alone.

A row is cut into blocks of 32 weights. A block stores a scale d, for Q*_1 an offset m (both float16), and a code q a
weight; the weight is d (q - c) + m with c = 0, 8 or 16. Decoding is exact in float64. Encoding takes, for each block,
the nearest of two grids: that of the block as it was, and the one a fresh quantisation would choose. So a block whose
weights did not change keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Bytes: TypeAlias = NDArray[np.uint8]

BLOCK = 32
_CHUNK = 1 << 13
"""Blocks at a time: their float64 scratch stays at some megabytes."""


@dataclass(frozen=True)
class Kind:
    """One format of quantised blocks."""

    bits: int
    """Of a code."""
    zero: int
    """The code that stands for 0."""
    least: int = 0
    """The least code."""
    offset: bool = False
    """True where a block has an offset beside its scale."""

    @property
    def most(self) -> int:
        """The greatest code."""
        return self.least + (1 << self.bits) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of a block."""
        return 2 + 2 * self.offset + BLOCK * self.bits // 8


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "Q8_0": Kind(8, 0, least=-128),
        "Q5_0": Kind(5, 16),
        "Q5_1": Kind(5, 0, offset=True),
        "Q4_0": Kind(4, 8),
        "Q4_1": Kind(4, 0, offset=True),
    }
)


@dataclass(frozen=True)
class _Blocks:
    """Scales and offsets (n, 1), exact float16 values, and codes (n, 32), all in float64."""

    scale: Array
    offset: Array
    codes: Array


def decode(raw: bytes, dtype: str, shape: tuple[int, ...]) -> Array:
    """The weights in float64, exact. The last dimension is a multiple of 32."""
    kind = KINDS[dtype]
    rows = np.frombuffer(raw, np.uint8).reshape(-1, kind.nbytes)
    values = np.empty((len(rows), BLOCK))
    for start in range(0, len(rows), _CHUNK):
        values[start : start + _CHUNK] = _values(_unpack(rows[start : start + _CHUNK], kind), kind)
    return values.reshape(shape)


def encode(values: Array, dtype: str, old: bytes) -> bytes:
    """The bytes of `values` in blocks; `old` are those that the tensor has had, whose grids are kept where they serve
    as well as fresh ones. The values must be finite; what no float16 scale can hold gives one that is infinite."""
    kind = KINDS[dtype]
    wanted, before = values.reshape(-1, BLOCK), np.frombuffer(old, np.uint8).reshape(-1, kind.nbytes)
    parts = []
    for start in range(0, len(wanted), _CHUNK):
        part = wanted[start : start + _CHUNK]
        kept = _unpack(before[start : start + _CHUNK], kind)
        for scale, offset in ((kept.scale, kept.offset), *_fresh_grids(part, kind)):
            kept = _nearer(part, kept, _on_grid(part, scale, offset, kind), kind)
        parts.append(_pack(kept, kind).tobytes())
    return b"".join(parts)


def is_finite(raw: bytes, dtype: str) -> bool:
    """True when no scale and no offset is infinite or NaN."""
    kind = KINDS[dtype]
    heads = np.frombuffer(raw, np.uint8).reshape(-1, kind.nbytes)[:, : 2 + 2 * kind.offset]
    return bool(np.isfinite(np.ascontiguousarray(heads).view("<f2")).all())


def _values(blocks: _Blocks, kind: Kind) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(blocks.scale * (blocks.codes - kind.zero) + blocks.offset)


def _fresh_grids(part: Array, kind: Kind) -> tuple[tuple[Array, Array], ...]:
    """The grids that a block's own extremes give: scale and offset, each as float16 holds it."""
    low, high = part.min(1, keepdims=True), part.max(1, keepdims=True)
    nothing = np.zeros_like(low)
    if kind.offset:
        return ((_half((high - low) / kind.most), _half(low)),)
    if kind.zero == 0:
        return ((_half(np.maximum(high, -low) / kind.most), nothing),)
    extreme = np.where(high > -low, high, low)
    return (_half(extreme / -kind.zero), nothing), (_half(extreme / (kind.most - kind.zero)), nothing)


def _on_grid(part: Array, scale: Array, offset: Array, kind: Kind) -> _Blocks:
    """Each weight at its nearest point of a block's grid, ties to the even code."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        codes = np.rint((part - offset) / scale) + kind.zero
    codes = np.where(np.isfinite(scale) & (scale != 0), codes, kind.zero)
    least = max(kind.least, -127)  # llama.cpp writes no -128, and some kernels negate codes
    return _Blocks(scale, offset, np.clip(codes, least, kind.most))


def _nearer(part: Array, kept: _Blocks, other: _Blocks, kind: Kind) -> _Blocks:
    """Block by block `other` where it is strictly nearer to `part`, or too large to be written."""
    take = _distance(part, other, kind) < _distance(part, kept, kind)
    take |= ~np.isfinite(other.scale + other.offset)
    pick = (np.where(take, getattr(other, n), getattr(kept, n)) for n in ("scale", "offset", "codes"))
    return _Blocks(*pick)


def _distance(part: Array, blocks: _Blocks, kind: Kind) -> Array:
    """Squared distance of each block, (n, 1), summed column by column: in one order on every machine."""
    off = part - _values(blocks, kind)
    total = np.zeros(len(part))
    with np.errstate(over="ignore", invalid="ignore"):
        for column in off.T:
            total = total + column * column
    return total[:, None]


def _half(values: Array) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return values.astype("<f2").astype(np.float64)


def _unpack(rows: Bytes, kind: Kind) -> _Blocks:
    head = 2 + 2 * kind.offset
    heads = np.ascontiguousarray(rows[:, :head]).view("<f2").astype(np.float64)
    offset = heads[:, 1:] if kind.offset else np.zeros((len(rows), 1))
    return _Blocks(heads[:, :1], offset, _codes(rows[:, head:], kind).astype(np.float64))


def _codes(body: Bytes, kind: Kind) -> NDArray[np.int16]:
    if kind.bits == 8:
        return np.ascontiguousarray(body).view(np.int8).astype(np.int16)
    low = body[:, -BLOCK // 2 :]
    codes = np.concatenate([low & 15, low >> 4], axis=1).astype(np.int16)
    if kind.bits == 4:
        return codes
    fifth = np.unpackbits(body[:, :4], axis=1, bitorder="little").astype(np.int16)
    whole: NDArray[np.int16] = np.bitwise_or(codes, fifth << 4)
    return whole


def _pack(blocks: _Blocks, kind: Kind) -> Bytes:
    with np.errstate(over="ignore"):
        heads = [blocks.scale.astype("<f2").view(np.uint8)]
        heads += [blocks.offset.astype("<f2").view(np.uint8)] if kind.offset else []
    if kind.bits == 8:
        return np.concatenate([*heads, blocks.codes.astype(np.int8).view(np.uint8)], axis=1)
    codes = blocks.codes.astype(np.uint8)
    half = BLOCK // 2
    low = (codes[:, :half] & 15) | ((codes[:, half:] & 15) << 4)
    fifth = [np.packbits(codes >> 4, axis=1, bitorder="little")] if kind.bits == 5 else []
    return np.concatenate([*heads, *fifth, low], axis=1)
