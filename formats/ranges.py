"""Ranges of bytes of a file, a few megabytes of them in memory at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from editc.diagnostics import fail

PIECE = 4 << 20
"""Bytes that are read at once of a range that need not be in memory as a whole."""


def pieces(file: Path, offset: int, size: int, step: int = PIECE) -> Iterator[bytes]:
    """The `size` bytes at `offset`, `step` at a time. Raises E610 and, when the file is shorter now, E612."""
    left = size
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            while left:
                raw = stream.read(min(step, left))
                if len(raw) < min(step, left):
                    missing = left - len(raw)
                    raise fail("E612", f"the file ended {missing} bytes early while it was read", place=str(file))
                left -= len(raw)
                yield raw
    except OSError as error:
        raise fail("E610", f"the file cannot be read: {error.strerror}", place=str(file)) from error


def read_range(file: Path, offset: int, size: int) -> bytes:
    """Exactly `size` bytes at `offset`. Raises E610 and E612."""
    return b"".join(pieces(file, offset, size, max(size, 1)))


def digest(file: Path, offset: int, size: int) -> str:
    """The sha256 of a range. Raises E610 and E612."""
    found = hashlib.sha256()
    for raw in pieces(file, offset, size):
        found.update(raw)
    return found.hexdigest()
