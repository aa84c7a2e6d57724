"""Recognise placeholders of files that are not here: Git LFS pointers, and links whose target is gone."""

from __future__ import annotations

from pathlib import Path

from editc.core.diagnostics import fail

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
