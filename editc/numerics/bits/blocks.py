"""Read and write the block formats of GGUF with one scale for 32 weights: Q8_0, Q5_0, Q5_1, Q4_0, Q4_1.

A row is cut into blocks of 32 weights. A block stores a scale d, an offset m for Q*_1 (both float16), and one code q
for each weight. The weight is d (q - c) + m with c = 0, 8 or 16. Decoding is exact in float64. Encoding takes the
nearest of two or three grids for each block: the grid the block had, and those that a fresh quantisation would choose.
So a block whose weights did not change keeps its bytes. This needs numpy alone.
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
"""Weights in a block, fixed by these formats of GGUF."""
_CHUNK_BLOCKS = 1 << 13
"""Blocks worked on at a time. Chosen by hand: their float64 scratch stays at a few megabytes."""


@dataclass(frozen=True)
class BlockFormat:
    """One format of quantised blocks."""

    bits: int
    """Bits of one code."""
    zero: int
    """c, the code that stands for the weight 0 (or for the offset)."""
    least: int = 0
    """The least code that the format can store."""
    offset: bool = False
    """True if a block stores an offset beside its scale."""

    @property
    def greatest(self) -> int:
        """The greatest code that the format can store."""
        return self.least + (1 << self.bits) - 1

    @property
    def nbytes(self) -> int:
        """The number of bytes of a block."""
        return 2 + 2 * self.offset + BLOCK * self.bits // 8


BLOCK_FORMATS: Mapping[str, BlockFormat] = MappingProxyType(
    {
        "Q8_0": BlockFormat(8, 0, least=-128),
        "Q5_0": BlockFormat(5, 16),
        "Q5_1": BlockFormat(5, 0, offset=True),
        "Q4_0": BlockFormat(4, 8),
        "Q4_1": BlockFormat(4, 0, offset=True),
    }
)
"""GGUF's name of a block format -> the format."""


@dataclass(frozen=True)
class _Blocks:
    """n blocks taken apart, everything in float64."""

    scale: Array
    """d (n, 1), exact float16 values."""
    offset: Array
    """m (n, 1), exact float16 values; 0 if the format has none."""
    codes: Array
    """q (n, 32), whole numbers."""


def decode(raw: bytes, dtype: str, shape: tuple[int, ...]) -> Array:
    """Return the weights of `raw` in float64, exact, in `shape`, whose last dimension must be a multiple of 32."""
    kind = BLOCK_FORMATS[dtype]
    rows = np.frombuffer(raw, np.uint8).reshape(-1, kind.nbytes)
    values = np.empty((len(rows), BLOCK))
    for start in range(0, len(rows), _CHUNK_BLOCKS):
        values[start : start + _CHUNK_BLOCKS] = _values(_unpack(rows[start : start + _CHUNK_BLOCKS], kind), kind)
    return values.reshape(shape)


def encode(values: Array, dtype: str, old: bytes) -> bytes:
    """Return the bytes of `values` as blocks of `dtype`. The values must be finite.

    `old` are the bytes that the tensor had: a block keeps its old grid if that fits at least as well as a fresh one. A
    block whose values no float16 scale can represent gets an infinite scale (see `is_finite`).
    """
    kind = BLOCK_FORMATS[dtype]
    wanted, before = values.reshape(-1, BLOCK), np.frombuffer(old, np.uint8).reshape(-1, kind.nbytes)
    parts = []
    for start in range(0, len(wanted), _CHUNK_BLOCKS):
        part = wanted[start : start + _CHUNK_BLOCKS]
        current = _unpack(before[start : start + _CHUNK_BLOCKS], kind)
        for scale, offset in ((current.scale, current.offset), *_fresh_grids(part, kind)):
            current = _nearer(part, current, _on_grid(part, scale, offset, kind), kind)
        parts.append(_pack(current, kind).tobytes())
    return b"".join(parts)


def is_finite(raw: bytes, dtype: str) -> bool:
    """Say whether every scale and every offset in `raw` is finite."""
    kind = BLOCK_FORMATS[dtype]
    heads = np.frombuffer(raw, np.uint8).reshape(-1, kind.nbytes)[:, : 2 + 2 * kind.offset]
    return bool(np.isfinite(np.ascontiguousarray(heads).view("<f2")).all())


def _values(blocks: _Blocks, kind: BlockFormat) -> Array:
    """Return the weights (n, 32) of the blocks."""
    with np.errstate(invalid="ignore"):
        return np.asarray(blocks.scale * (blocks.codes - kind.zero) + blocks.offset)


def _fresh_grids(part: Array, kind: BlockFormat) -> tuple[tuple[Array, Array], ...]:
    """Return the grids that fit the smallest and largest weight of each block of `part` (n, 32).

    Each is a scale (n, 1) and an offset (n, 1), as float16 represents them.
    """
    low, high = part.min(1, keepdims=True), part.max(1, keepdims=True)
    nothing = np.zeros_like(low)
    if kind.offset:
        return ((_half((high - low) / kind.greatest), _half(low)),)
    if kind.zero == 0:
        return ((_half(np.maximum(high, -low) / kind.greatest), nothing),)
    extreme = np.where(high > -low, high, low)
    return (_half(extreme / -kind.zero), nothing), (_half(extreme / (kind.greatest - kind.zero)), nothing)


def _on_grid(part: Array, scale: Array, offset: Array, kind: BlockFormat) -> _Blocks:
    """Round each weight of `part` (n, 32) to the nearest point of its block's grid, given by scale and offset (n, 1).

    Ties go to the even code.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        codes = np.rint((part - offset) / scale) + kind.zero
    codes = np.where(np.isfinite(scale) & (scale != 0), codes, kind.zero)
    least = max(kind.least, -127)  # llama.cpp writes no -128, and some kernels negate codes
    return _Blocks(scale, offset, np.clip(codes, least, kind.greatest))


def _nearer(part: Array, current: _Blocks, other: _Blocks, kind: BlockFormat) -> _Blocks:
    """Return for each block the nearer of `current` and `other` to `part` (n, 32); `current` if they are equally near.

    A block of `other` that is too large for float16 is taken too, so that `is_finite` sees it.
    """
    take = _distance(part, other, kind) < _distance(part, current, kind)
    take |= ~np.isfinite(other.scale + other.offset)
    pick = (np.where(take, getattr(other, n), getattr(current, n)) for n in ("scale", "offset", "codes"))
    return _Blocks(*pick)


def _distance(part: Array, blocks: _Blocks, kind: BlockFormat) -> Array:
    """Return the squared distance (n, 1) of each block to `part` (n, 32), summed in the same order on every machine."""
    off = part - _values(blocks, kind)
    total = np.zeros(len(part))
    with np.errstate(over="ignore", invalid="ignore"):
        for column in off.T:
            total = total + column * column
    return total[:, None]


def _half(values: Array) -> Array:
    """Round `values` to float16 and return them in float64."""
    with np.errstate(over="ignore", under="ignore"):
        return values.astype("<f2").astype(np.float64)


def _unpack(rows: Bytes, kind: BlockFormat) -> _Blocks:
    """Take apart the bytes of blocks, `rows` (n, bytes of a block)."""
    head = 2 + 2 * kind.offset
    heads = np.ascontiguousarray(rows[:, :head]).view("<f2").astype(np.float64)
    offset = heads[:, 1:] if kind.offset else np.zeros((len(rows), 1))
    return _Blocks(heads[:, :1], offset, _codes(rows[:, head:], kind).astype(np.float64))


def _codes(body: Bytes, kind: BlockFormat) -> NDArray[np.int16]:
    """Return the codes (n, 32) from the bytes of blocks without scale and offset, `body` (n, bytes)."""
    if kind.bits == 8:
        return np.ascontiguousarray(body).view(np.int8).astype(np.int16)
    low = body[:, -BLOCK // 2 :]
    codes = np.concatenate([low & 15, low >> 4], axis=1).astype(np.int16)
    if kind.bits == 4:
        return codes
    fifth = np.unpackbits(body[:, :4], axis=1, bitorder="little").astype(np.int16)
    whole: NDArray[np.int16] = np.bitwise_or(codes, fifth << 4)
    return whole


def _pack(blocks: _Blocks, kind: BlockFormat) -> Bytes:
    """Return the bytes of the blocks, (n, bytes of a block)."""
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
