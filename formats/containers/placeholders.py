"""Placeholders of files that are not here: Git LFS pointers, links whose target is gone, and sparse copies of files
that lie elsewhere.

A sparse copy has the size of its file and holds nothing until somebody asks for a range. `require` is called wherever
bytes of a file are read by ranges, so the rest of editc reads such a copy like any file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from editc.core.diagnostics import EditcError, fail

LFS_START = b"version https://git-lfs.github.com/spec/"
"""The first bytes of every Git LFS pointer."""
MAX_POINTER = 1024
"""Bytes of a pointer at most (Git LFS specification: smaller than 1024)."""


def refuse(path: Path) -> None:
    """Raises E618 for a Git LFS pointer and E610 for a link to nothing.

    Every other file passes. So does a file that cannot be read: whoever reads it next reports that.
    """
    if is_dead_link(path):
        message = f"the file is a link to '{path.readlink()}', which does not exist"
        help_text = "fetch the model again: a link in a hub cache points to a file in `blobs`, and that file is gone"
        raise fail("E610", message, place=str(path), help=help_text)
    if is_pointer(path):
        message = "this is a Git LFS pointer, not the file itself, which was not fetched"
        raise fail("E618", message, place=str(path), help=f"run `git lfs pull` in '{path.parent}'")


def refuse_in(folder: Path) -> None:
    """Call `refuse` for every file in a folder except hidden ones."""
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and not path.is_dir():
            refuse(path)


def is_pointer(path: Path) -> bool:
    """True for a Git LFS pointer: a small file that begins with `LFS_START`."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_POINTER:
            return False
        with path.open("rb") as file:
            return file.read(len(LFS_START)) == LFS_START
    except (OSError, ValueError):
        return False


def is_dead_link(path: Path) -> bool:
    """True for a link whose target is not there."""
    try:
        return path.is_symlink() and not path.exists()
    except OSError:
        return False


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
