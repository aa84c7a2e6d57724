"""Put a new folder in the place of an old one. Whoever looks there meanwhile, or after a crash, finds one of the two,
whole."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from editc.core.storage import disk


def replace_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Make a folder that `write` fills, and put it in place of the one there, if any. What killed runs left beside it
    is removed.

    Where the system cannot exchange two names (other systems than Linux, and some network disks), there is a moment
    between two renames in which nothing is at `folder`. A crash in it leaves both folders there under hidden names.
    """
    with _fresh_folder(folder) as fresh:
        write(fresh)
        if not folder.exists():
            disk.rename(fresh, folder)
        elif not disk.exchange(fresh, folder):
            _swap_by_renames(fresh, folder)


def _swap_by_renames(fresh: Path, folder: Path) -> None:
    """Give `fresh` the name `folder`, and the folder there that of `fresh`, in three renames."""
    old = disk.temporary_path(folder)
    disk.rename(folder, old)
    try:
        disk.rename(fresh, folder)
    except OSError:
        disk.rename(old, folder)
        raise
    disk.rename(old, fresh)


@contextmanager
def _fresh_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder beside `folder`, locked as long as its writer lives. Whatever has its name at the end is
    removed."""
    fresh = disk.temporary_path(folder)
    with disk.wait_for_lock(folder.parent):  # so that nobody sees it before it is locked
        _remove_left_folders(folder)
        disk.make_folder(fresh)
        lock = _lock(fresh)
    try:
        yield fresh
    finally:
        disk.clear(fresh)
        os.close(lock)


def _remove_left_folders(folder: Path) -> None:
    """Remove the hidden folders whose writers are gone: those that nobody has locked."""
    pattern = re.compile(rf"\.{re.escape(folder.name)}\.editc-[0-9a-f]{{12}}")
    for path in folder.parent.iterdir():
        if pattern.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            with suppress(OSError):  # locked, or a file system without locks, where nobody knows
                lock = _lock(path, must=True)
                try:
                    disk.remove_tree(path)
                finally:
                    os.close(lock)


def _lock(folder: Path, must: bool = False) -> int:
    """Open a folder and lock it; the lock ends with the process. Raises OSError where that fails and it `must` be."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError) as error:
        if must:
            os.close(handle)
            raise OSError(*error.args) from error
    return handle
