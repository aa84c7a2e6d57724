"""Every write that editc makes to a disk. Each function is one step after which a crash may come.

All are on the disk when they return, but for `write_at` and `copy_range`: of these, `sync_file` says so once a file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from editc.core.diagnostics import fail

_AT_ONCE = 64 << 20
"""Bytes that one call of the system copies."""

_EARLY = 8 << 20
"""Bytes after which the disk is told to begin with a new file."""

_FICLONE = 0x40049409
"""The ioctl of Linux that makes a copy-on-write copy (btrfs, xfs, bcachefs): independent, but no bytes move."""


@contextmanager
def guard_writes(path: Path) -> Iterator[None]:
    """Turns what the system refuses (full disk, no permission) into E632."""
    try:
        yield
    except OSError as error:
        hints = {errno.ENOSPC: "make room and run it again", errno.EDQUOT: "make room and run it again"}
        raise fail(
            "E632",
            f"writing was refused: {error.strerror or error}",
            place=str(error.filename or path),
            help=hints.get(error.errno or 0, "check the permissions of the folder and of the file system"),
        ) from error


def temporary_path(path: Path) -> Path:
    """A free name in the same folder, hence on the same file system, so that a rename is atomic."""
    return path.parent / f".{path.name}.editc-{os.urandom(6).hex()}"


def replace_file(path: Path, data: bytes) -> None:
    """Puts a file at `path`, replacing one that is there, whole or not at all."""
    temporary = temporary_path(path)
    try:
        write_new(temporary, [data])
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_new(path: Path, chunks: Iterable[bytes]) -> None:
    """A new file with these bytes, on the disk when this returns. The chunks may be made while it is written."""
    with path.open("xb") as file:
        start = end = 0
        for chunk in chunks:
            end += file.write(chunk)
            if end - start >= _EARLY:
                file.flush()
                start = _begin_writing(file.fileno(), start, end)
        file.flush()
        os.fsync(file.fileno())


def write_at(path: Path, offset: int, data: bytes) -> None:
    """Overwrites bytes in the middle of a file; its length stays. On the disk after `sync_file`."""
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        _begin_writing(file.fileno(), offset, offset + len(data))


def sync_file(path: Path) -> None:
    """Makes what was written to a file durable."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def create_like(source: Path, target: Path) -> bool:
    """A new file of the size of `source`: True when it is a reflink, with its bytes; else it is a hole, all zeros."""
    with source.open("rb") as old, target.open("xb") as new:
        if _reflink(old.fileno(), new.fileno()):
            return True
        new.truncate(os.fstat(old.fileno()).st_size)
    return False


def copy_range(source: Path, target: Path, offset: int, size: int) -> None:
    """Copies bytes to the same place of a file that `create_like` made, in the kernel where it can."""
    with source.open("rb") as old, target.open("r+b", buffering=0) as new:
        end = offset + size
        while offset < end:
            count = _copy_some(old.fileno(), new.fileno(), offset, min(end - offset, _AT_ONCE))
            if not count:
                raise OSError(errno.EIO, "the file became shorter while it was copied", str(source))
            _begin_writing(new.fileno(), offset, offset + count)
            offset += count


def copy_file(source: Path, target: Path) -> None:
    """An independent copy of a whole file, on the disk when this returns: a reflink where there are some."""
    if not create_like(source, target):
        copy_range(source, target, 0, source.stat().st_size)
    sync_file(target)


def link_file(source: Path, target: Path) -> None:
    """Another name for the same file. On the disk when its folder is."""
    os.link(source, target)


def make_folder(path: Path) -> None:
    """A new folder; its parent must exist."""
    path.mkdir()
    sync_folder(path.parent)


def rename(source: Path, target: Path) -> None:
    """Moves within one file system, atomically; an empty folder or nothing is at `target`."""
    source.rename(target)
    sync_folder(target.parent)


def remove_file(path: Path) -> None:
    """Removes a file if it is there."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove_tree(path: Path) -> None:
    """Removes a folder and all that is in it."""
    import shutil  # with the archives' libraries: an apply starts without

    shutil.rmtree(path)
    sync_folder(path.parent)


def clear(path: Path) -> None:
    """Removes a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        remove_file(path)


def remove_if_empty(path: Path) -> None:
    """Removes a folder that has nothing in it."""
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()


def set_mtime(path: Path, nanoseconds: int) -> None:
    """Sets the time of last change."""
    os.utime(path, ns=(path.stat().st_atime_ns, nanoseconds))


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable, where the system can."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def lock_model(path: Path) -> Iterator[None]:
    """Holds the model against another editc on this machine (E637). The lock goes when the process does."""
    release = _lock(path)
    try:
        yield
    finally:
        release()


def _lock(path: Path) -> Callable[[], None]:
    try:
        import fcntl
    except ImportError:  # not a POSIX system: two editc at once are then not told apart
        return lambda: None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        help_text = "wait until it is done, then run this again"
        raise fail("E637", "another editc is changing this model now", place=str(path), help=help_text) from error
    except OSError:  # a file system without locks
        pass
    return lambda: os.close(handle)


def _begin_writing(handle: int, start: int, end: int) -> int:
    """Lets the disk begin with bytes that will be waited for later; returns `end`. (On Linux, this advice starts the
    writing of dirty pages and does not wait for it.)"""
    with suppress(OSError, AttributeError):
        os.posix_fadvise(handle, start, end - start, os.POSIX_FADV_DONTNEED)
    return end


def _copy_some(old: int, new: int, offset: int, size: int) -> int:
    if hasattr(os, "copy_file_range"):
        with suppress(OSError):
            return os.copy_file_range(old, new, size, offset, offset)
    os.lseek(old, offset, os.SEEK_SET)
    os.lseek(new, offset, os.SEEK_SET)
    return os.write(new, os.read(old, min(size, 1 << 20)))


def _reflink(old: int, new: int) -> bool:
    try:
        import fcntl

        fcntl.ioctl(new, _FICLONE, old)
    except (ImportError, OSError):
        return False
    return True
