"""Read and hash byte ranges of files, with only a few megabytes of them in memory at a time."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from editc.core.diagnostics import fail
from editc.formats.containers.placeholders import require
from editc.formats.containers.safetensors import open_file

A = TypeVar("A")
B = TypeVar("B")
THREADS = min(4, os.cpu_count() or 1)
"""How many threads read and hash. The limit of four is chosen by hand; `map_ahead` also limits memory by it."""
PIECE = 4 << 20
"""Bytes that are read at once where a range need not be in memory as a whole. Chosen by hand."""


def read_pieces(file: Path, offset: int, size: int, step: int = PIECE) -> Iterator[bytes]:
    """The `size` bytes at `offset`, at most `step` bytes at a time. Raises E610 and, when the file has become shorter,
    E612."""
    left = size
    with open_file(file, ranges=True) as (stream, length):
        if offset + size > length:
            message = f"the file ends before byte {offset + size}, up to which a tensor reaches"
            raise fail("E612", message, place=str(file))
        require(file, offset, size)
        stream.seek(offset)
        while left:
            raw = stream.read(min(step, left))
            if len(raw) < min(step, left):
                missing = left - len(raw)
                raise fail("E612", f"the file ended {missing} bytes early while it was read", place=str(file))
            left -= len(raw)
            yield raw


def read_range(file: Path, offset: int, size: int) -> bytes:
    """Exactly `size` bytes at `offset`. Raises E610 and E612."""
    return b"".join(read_pieces(file, offset, size, max(size, 1)))


def hash_range(file: Path, offset: int, size: int) -> str:
    """The sha256 of a byte range. Raises E610 and E612."""
    found = hashlib.sha256()
    for raw in read_pieces(file, offset, size):
        found.update(raw)
    return found.hexdigest()


def hash_ranges(places: Sequence[tuple[Path, int, int]]) -> Iterator[str]:
    """The sha256 of each byte range (file, offset, size), in order. Raises E610 and E612."""
    return map_ahead(lambda place: hash_range(*place), places)


def map_ahead(work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Like `map`, but on a few threads. Results come in order; at most `THREADS` items are computed before they are
    asked for."""
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
