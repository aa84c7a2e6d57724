"""Zstandard frames (RFC 8878) of stored and repeated blocks: what every zstd reader takes, made without the library.

Runs of one byte, as the exclusive or of two versions of a tensor is full of, become blocks of one byte; all else is
stored as it is. With the library `zstandard` installed, `compressed` uses it and is smaller.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise

import numpy as np

_MAGIC = (0xFD2FB528).to_bytes(4, "little")
_HEADER = bytes([0xC0, 7 << 3])
"""The content's size follows in 8 bytes; a window of 128 kB; no checksum and no dictionary."""
_LARGEST, _CELL = 1 << 17, 1 << 10
_STORED, _REPEATED = 0, 1


def compressed(plain: bytes) -> bytes:
    """One frame that unpacks to `plain`."""
    if find_spec("zstandard"):
        packed: bytes = import_module("zstandard").ZstdCompressor(level=3).compress(plain)
        return packed
    blocks = list(_blocks(plain))
    body = b"".join(
        (int(i == len(blocks) - 1) | kind << 1 | size << 3).to_bytes(3, "little") + content
        for i, (kind, size, content) in enumerate(blocks)
    )
    return _MAGIC + _HEADER + len(plain).to_bytes(8, "little") + body


def decompressed(frame: bytes, size: int) -> bytes:
    """The `size` bytes in a frame, never more. ValueError for any other frame, and for one that `compressed` did not
    make where the library is not installed."""
    if frame[:6] == _MAGIC + _HEADER:
        try:
            return _unpacked(frame, size)
        except NotImplementedError:
            pass
    if not find_spec("zstandard"):
        raise ValueError("the frame has compressed blocks, and the library `zstandard` is not installed")
    library = import_module("zstandard")
    try:
        plain: bytes = library.ZstdDecompressor().decompress(frame, max_output_size=size)
    except library.ZstdError as error:
        raise ValueError(f"the frame cannot be unpacked: {error}") from error
    if len(plain) != size:
        raise ValueError(f"the frame holds {len(plain)} bytes and not {size}")
    return plain


def _blocks(plain: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, size and content of each block: runs of zeros by whole cells, and what lies between them."""
    cells = np.frombuffer(plain + bytes(-len(plain) % _CELL), np.uint8).reshape(-1, _CELL)
    empty = np.asarray(cells.max(axis=1, initial=0) == 0)
    edges = np.flatnonzero(np.diff(empty)) + 1
    starts = [0, *edges.tolist(), len(empty)]
    for first, last in pairwise(starts):
        for start in range(first * _CELL, min(last * _CELL, len(plain)), _LARGEST):
            part = plain[start : min(start + _LARGEST, last * _CELL)]
            yield (_REPEATED, len(part), b"\0") if empty[first] else (_STORED, len(part), part)
    if not plain:
        yield _STORED, 0, b""


def _unpacked(frame: bytes, size: int) -> bytes:
    if int.from_bytes(frame[6:14], "little") != size:
        raise ValueError(f"the frame holds {int.from_bytes(frame[6:14], 'little')} bytes and not {size}")
    parts, place, last, total = [], 14, False, 0
    while not last:
        word = int.from_bytes(frame[place : place + 3], "little")
        last, kind, length = bool(word & 1), word >> 1 & 3, word >> 3
        if kind not in (_STORED, _REPEATED):
            raise NotImplementedError
        stop = place + 3 + (length if kind == _STORED else 1)
        total += length
        if stop > len(frame) or total > size or length > _LARGEST:
            raise ValueError("the frame is cut off, or holds more than it says")
        content = frame[place + 3 : stop]
        parts.append(content if kind == _STORED else content * length)
        place = stop
    if place != len(frame) or total != size:
        raise ValueError("the frame holds less than it says, or something follows it")
    return b"".join(parts)
