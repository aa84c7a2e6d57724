"""Whether something can be written where it is asked for: looked at before the work, which may take minutes."""

from __future__ import annotations

import os
from pathlib import Path

from editc.core.diagnostics import EditcError, fail
from editc.core.disk import guard_writes


def check_folder(out: Path) -> None:
    """Raises E697 unless `out` is a folder into which files can be put, or can be made."""
    if out.is_symlink() and not out.exists():
        raise _refusal(out, "it is a link to nothing", "remove the link, or give another folder")
    if out.exists() and not out.is_dir():
        raise _refusal(out, "it is a file, and a folder is needed", "give a folder, which is made if it is not there")
    _check_writable(out, out)


def check_file(out: Path) -> None:
    """Raises E697 unless a file can be put at `out`; one that is there may be replaced."""
    if out.is_dir():
        raise _refusal(out, "it is a folder, and a file is needed", f"give the file, for example {out / 'NAME'}")
    _check_writable(out.parent, out)


def check_parent(out: Path) -> None:
    """Raises E697 unless the folder that `out` is to lie in can be written, or can be made."""
    _check_writable(out.parent, out)


def make_parent(out: Path) -> None:
    """Makes the folder that `out` is to lie in."""
    with guard_writes(out):
        out.parent.mkdir(parents=True, exist_ok=True)


def _check_writable(folder: Path, out: Path) -> None:
    """Of a folder that is not there yet, the nearest one above it that is."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise _refusal(out, f"'{there}' is a file, and a folder is needed there", "give another path")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _refusal(out, f"the folder '{there}' may not be written", "change its permissions, or give another path")


def _refusal(out: Path, reason: str, help_text: str) -> EditcError:
    return fail("E697", f"the result cannot be written there: {reason}", place=str(out), help=help_text)
