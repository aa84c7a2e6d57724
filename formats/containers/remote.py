"""Files that lie elsewhere: sparse copies on this disk, into which byte ranges are fetched before they are read.

A copy has the size of its file and holds nothing until somebody asks for a range. `require` is called wherever bytes of
a file are read, so the rest of editc reads such a copy like any file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from editc.core.diagnostics import EditcError, fail


@dataclass
class RemoteFile:
    """A file that lies elsewhere."""

    url: str
    """Where it lies, for messages."""
    size: int
    """Its size in bytes."""
    read: Callable[[int, int], bytes]
    """Takes a position and how many bytes, and returns exactly those. Raises what the network raises, in our words."""
    fetched: list[tuple[int, int]] = field(default_factory=list)
    """The ranges (start, end) that the copy holds, in the order in which they came."""
    bytes_read: int = 0
    """How many bytes were fetched."""
    lock: Lock = field(default_factory=Lock, repr=False)
    """Held while a range is fetched: several threads hash at once."""


FILES: dict[Path, RemoteFile] = {}
"""Copy -> the file that it stands for, while somebody reads it."""


def require(path: Path, offset: int, size: int) -> None:
    """Fetch a range into the copy at `path`, unless it is there. Does nothing for every other file."""
    found = FILES.get(path) if FILES else None
    if found is None or size <= 0 or offset >= found.size:
        return
    end = min(offset + size, found.size)
    with found.lock:
        if any(start <= offset and end <= stop for start, stop in found.fetched):
            return
        data = found.read(offset, end - offset)
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(data)
        found.fetched.append((offset, end))
        found.bytes_read += len(data)


def refuse_whole(path: Path) -> None:
    """Raises E963 for a copy that is about to be read in another way than by ranges: it would seem full of zeros."""
    if path in FILES:
        raise kind_error(FILES[path].url)


def kind_error(place: str) -> EditcError:
    """E963."""
    message = "a file of this kind is not read by ranges"
    help_text = "fetch it first, and give the file on this disk; safetensors files are read where they are"
    return fail("E963", message, place=place, help=help_text)
