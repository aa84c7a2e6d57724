"""Bytes by exclusive or: what turns one tensor's stored bytes into another's, bit for bit, packed small.

The bytes of base XOR result are laid out by planes (every element's lowest byte, then every next one): where weights
change a little, the planes of sign and exponent are mostly zero. One byte says how the rest is packed: 0 as it is,
1 by zlib, whichever is smaller.
"""

from __future__ import annotations

import zlib
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Packed: TypeAlias = NDArray[np.uint8]

RAW, ZLIB = 0, 1
_LEVEL = 6
_DENSEST = 1032
"""No zlib stream becomes longer than that many times itself (a block of repeats: 258 bytes for two bits)."""


def pack(base: bytes, result: bytes, item: int) -> Packed:
    """What `unpack` takes from `base` to `result`; both of the same length, `item` bytes an element. (n,) uint8."""
    mask = np.frombuffer(base, np.uint8) ^ np.frombuffer(result, np.uint8)
    plain = np.ascontiguousarray(mask.reshape(-1, item).T).tobytes()
    small = zlib.compress(plain, _LEVEL)
    body = bytes([ZLIB]) + small if len(small) < len(plain) else bytes([RAW]) + plain
    return np.frombuffer(body, np.uint8)


def unpack(base: bytes, change: Packed, item: int) -> bytes:
    """`base` with the change made. Never unpacks more than the length of `base`. ValueError for a damaged change."""
    kind, body = int(change[0]) if len(change) else -1, change[1:].tobytes()
    plain = body if kind == RAW else _inflate(body, len(base)) if kind == ZLIB else b""
    if len(plain) != len(base) or len(base) % item:
        raise ValueError(f"the change holds {len(plain)} bytes for a tensor of {len(base)}")
    mask = np.frombuffer(plain, np.uint8).reshape(item, -1).T
    return (np.frombuffer(base, np.uint8) ^ np.ascontiguousarray(mask).reshape(-1)).tobytes()


def plausible(change: NDArray[np.generic], size: int) -> bool:
    """Whether `change` can be that of a tensor of `size` bytes, as far as its own length and first byte tell."""
    if change.dtype != np.uint8 or change.ndim != 1 or len(change) < 2:
        return False
    body = len(change) - 1
    return (int(change[0]) == RAW and body == size) or (int(change[0]) == ZLIB and body < size <= _DENSEST * body)


def _inflate(body: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(body, size + 1)
    except zlib.error as error:
        raise ValueError(f"the change cannot be unpacked: {error}") from error
    if not stream.eof or stream.unused_data:
        raise ValueError("the change unpacks to more than the tensor, or ends too early or too late")
    return plain
