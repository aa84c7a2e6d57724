"""Store the exact difference between two tensors of the same size: the exclusive or of their bytes, packed small.

The bytes of base XOR result are laid out in planes: the lowest byte of every element, then the next byte of every
element, and so on. If weights change little, the planes with sign and exponent are mostly zero. The first byte of the
packed form says how the rest is stored: 0 as it is, 1 by zlib, whichever is smaller.
"""

from __future__ import annotations

import zlib
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Packed: TypeAlias = NDArray[np.uint8]

RAW, ZLIB = 0, 1
"""The first byte of a packed change: stored as it is, or by zlib."""
_LEVEL = 6
"""zlib's default level, stated so that a delta does not change if the default does."""
_GREATEST_EXPANSION = 1032
"""A zlib stream expands to at most this many times its length: a match of 258 bytes takes two bits at least."""


def pack(base: bytes, result: bytes, item: int) -> Packed:
    """Return the change (n,) uint8 from which `unpack` makes `result` out of `base`.

    Both have the same length, with `item` bytes an element.
    """
    mask = np.frombuffer(base, np.uint8) ^ np.frombuffer(result, np.uint8)
    plain = np.ascontiguousarray(mask.reshape(-1, item).T).tobytes()
    small = zlib.compress(plain, _LEVEL)
    body = bytes([ZLIB]) + small if len(small) < len(plain) else bytes([RAW]) + plain
    return np.frombuffer(body, np.uint8)


def unpack(base: bytes, change: Packed, item: int) -> bytes:
    """Return `base` with the change applied. It never unpacks more bytes than `base` has.

    Raises ValueError if the change is damaged or belongs to a tensor of another length.
    """
    kind, body = int(change[0]) if len(change) else -1, change[1:].tobytes()
    plain = body if kind == RAW else _inflate(body, len(base)) if kind == ZLIB else b""
    if len(plain) != len(base) or len(base) % item:
        raise ValueError(f"the change holds {len(plain)} bytes for a tensor of {len(base)}")
    mask = np.frombuffer(plain, np.uint8).reshape(item, -1).T
    return (np.frombuffer(base, np.uint8) ^ np.ascontiguousarray(mask).reshape(-1)).tobytes()


def could_unpack_to(change: NDArray[np.generic], size: int) -> bool:
    """Say whether `change` can be a packed change of a tensor of `size` bytes, by its length and first byte alone."""
    if change.dtype != np.uint8 or change.ndim != 1 or len(change) < 2:
        return False
    body = len(change) - 1
    return (int(change[0]) == RAW and body == size) or (
        int(change[0]) == ZLIB and body < size <= _GREATEST_EXPANSION * body
    )


def _inflate(body: bytes, size: int) -> bytes:
    """Decompress `body` to at most `size` bytes. Raises ValueError if it is no zlib stream or gives more than that."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(body, size + 1)
    except zlib.error as error:
        raise ValueError(f"the change cannot be unpacked: {error}") from error
    if not stream.eof or stream.unused_data:
        raise ValueError("the change unpacks to more than the tensor, or ends too early or too late")
    return plain
