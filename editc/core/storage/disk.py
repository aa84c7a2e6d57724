"""Every write of editc to a disk, and checks that something can be written. Each write is one step, after which a crash
may come.

A function returns when its data is on the disk. `write_at` and `copy_range` are the exceptions: `sync_file` finishes
them, once for each file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from editc.core.diagnostics import EditcError, fail

_AT_ONCE = 64 << 20
"""Bytes that one system call copies. Chosen by hand: large enough that calls cost nothing, small enough that progress
shows."""

_EARLY = 8 << 20
"""After so many bytes of a new file the disk is told to begin writing. Chosen by hand."""

_FICLONE = 0x40049409
"""The ioctl of Linux that makes a copy-on-write copy (btrfs, xfs, bcachefs): the copy is independent, and no bytes
move."""


_HERE, _RENAME_EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux, for `renameat2`."""


@contextmanager
def guard_writes(path: Path) -> Iterator[None]:
    """Turns an error of the operating system (full disk, no permission) into E632."""
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
    """A free name in the same folder. It is on the same file system, so that a rename is atomic."""
    return path.parent / f".{path.name}.editc-{os.urandom(6).hex()}"


def replace_file(path: Path, data: bytes, synced: bool = True) -> None:
    """Writes a file at `path` or replaces the one there. After a crash either the old or the new file is there,
    whole. `synced` False: do not wait for the disk; after a power failure the file may be cut short."""
    temporary = temporary_path(path)
    try:
        if synced:
            write_new(temporary, [data])
        else:
            temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if synced:
        sync_folder(path.parent)


def write_new(path: Path, chunks: Iterable[bytes]) -> None:
    """Writes a new file with these bytes. The chunks may be generated while they are written."""
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
    """Overwrites bytes in the middle of a file, whose length stays. Call `sync_file` afterwards."""
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        _begin_writing(file.fileno(), offset, offset + len(data))


def sync_file(path: Path) -> None:
    """Puts what was written to a file onto the disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def create_like(source: Path, target: Path) -> bool:
    """Creates a file of the size of `source`. Returns True when it is a reflink with the same bytes, False when it is
    all zeros."""
    with source.open("rb") as old, target.open("xb") as new:
        if _reflink(old.fileno(), new.fileno()):
            return True
        new.truncate(os.fstat(old.fileno()).st_size)
    return False


def copy_range(source: Path, target: Path, offset: int, size: int) -> None:
    """Copies bytes to the same place of a file that `create_like` made, in the kernel where it can. Call `sync_file`
    afterwards."""
    with source.open("rb") as old, target.open("r+b", buffering=0) as new:
        end = offset + size
        while offset < end:
            count = _copy_some(old.fileno(), new.fileno(), offset, min(end - offset, _AT_ONCE))
            if not count:
                raise OSError(errno.EIO, "the file became shorter while it was copied", str(source))
            _begin_writing(new.fileno(), offset, offset + count)
            offset += count


def copy_file(source: Path, target: Path) -> None:
    """Copies a whole file. The copy is independent; it is a reflink where the file system has them."""
    if not create_like(source, target):
        copy_range(source, target, 0, source.stat().st_size)
    sync_file(target)


def link_file(source: Path, target: Path) -> None:
    """Gives the same file another name. The name is on the disk when its folder is synced."""
    os.link(source, target)


def make_folder(path: Path) -> None:
    """Makes a new folder. Its parent must exist."""
    path.mkdir()
    sync_folder(path.parent)


def rename(source: Path, target: Path) -> None:
    """Moves a file or folder within one file system, atomically. At `target` is nothing, or an empty folder."""
    source.rename(target)
    sync_folder(target.parent)


def exchange(one: Path, other: Path) -> bool:
    """Exchanges the names of two folders in one step, so that each name always has one of the two. Returns False where
    the system cannot; then nothing has changed."""
    import ctypes  # only a folder that is replaced needs it

    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if swap is None or swap(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        return False
    sync_folder(one.parent)
    return True


def remove_file(path: Path) -> None:
    """Removes a file if there is one."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove_tree(path: Path) -> None:
    """Removes a folder with everything in it."""
    import shutil  # it loads libraries for archives, which an apply can start without

    shutil.rmtree(path)
    sync_folder(path.parent)


def clear(path: Path) -> None:
    """Removes what is at `path`, file or folder, if anything is there."""
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        remove_file(path)


def remove_if_empty(path: Path) -> None:
    """Removes a folder if it is empty."""
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()


def set_mtime(path: Path, nanoseconds: int) -> None:
    """Sets the time of the last change, in nanoseconds since 1970."""
    os.utime(path, ns=(path.stat().st_atime_ns, nanoseconds))


def sync_folder(path: Path) -> None:
    """Puts the names in a folder onto the disk, where the system can."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def lock_model(path: Path) -> Iterator[None]:
    """Locks the model against other editc processes on this machine. Raises E637 where one holds the lock. The lock
    ends with the process."""
    release = _lock(path)
    try:
        yield
    finally:
        release()


@contextmanager
def wait_for_lock(folder: Path) -> Iterator[None]:
    """Locks a folder against other processes, on every machine where its file system has locks. Waits while another
    holds the lock, which ends with the process that holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(ImportError, OSError):  # not a POSIX system, or a file system without locks
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _lock(path: Path) -> Callable[[], None]:
    """Takes the lock; returns a function that releases it."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system: there two editc at once do not notice each other
        return lambda: None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        help_text = "wait until it is done, then run this again"
        raise fail("E637", "another editc is changing this model now", place=str(path), help=help_text) from error
    except OSError:  # the file system has no locks
        pass
    return lambda: os.close(handle)


def _begin_writing(handle: int, start: int, end: int) -> int:
    """Tells the disk to begin writing bytes that `sync_file` will wait for; returns `end`. (On Linux this advice starts
    the writing of dirty pages and does not wait.)"""
    with suppress(OSError, AttributeError):
        os.posix_fadvise(handle, start, end - start, os.POSIX_FADV_DONTNEED)
    return end


def _copy_some(old: int, new: int, offset: int, size: int) -> int:
    """Copies at most `size` bytes from one open file to the other, at the same offset. Returns how many were copied."""
    if hasattr(os, "copy_file_range"):
        with suppress(OSError):
            return os.copy_file_range(old, new, size, offset, offset)
    os.lseek(old, offset, os.SEEK_SET)
    os.lseek(new, offset, os.SEEK_SET)
    return os.write(new, os.read(old, min(size, 1 << 20)))


def _reflink(old: int, new: int) -> bool:
    """Makes the new file a copy-on-write copy of the old one. Returns False where the file system cannot."""
    try:
        import fcntl

        fcntl.ioctl(new, _FICLONE, old)
    except (ImportError, OSError):
        return False
    return True


def check_folder(out: Path) -> None:
    """Raises E697 unless `out` is a folder that files can be written to, or one that can be made."""
    if out.is_symlink() and not out.exists():
        raise _refusal(out, "it is a link to a missing file", "remove the link, or give another folder")
    if out.exists() and not out.is_dir():
        raise _refusal(
            out, "it is a file, but a folder is needed", "give a folder; editc makes it if it does not exist"
        )
    _check_writable(out, out)


def check_file(out: Path) -> None:
    """Raises E697 unless a file can be written at `out`. An existing file may be replaced."""
    if out.is_dir():
        raise _refusal(out, "it is a folder, but a file is needed", f"give the file, for example {out / 'NAME'}")
    _check_writable(out.parent, out)


def check_parent(out: Path) -> None:
    """Raises E697 unless the folder of `out` can be written to, or can be made."""
    _check_writable(out.parent, out)


def make_parent(out: Path) -> None:
    """Makes the folder in which `out` will lie."""
    with guard_writes(out):
        out.parent.mkdir(parents=True, exist_ok=True)


def _check_writable(folder: Path, out: Path) -> None:
    """Raises E697 unless `folder` can be written to. Where it does not exist yet, its nearest existing parent is
    checked."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise _refusal(out, f"'{there}' is a file, but a folder is needed there", "give another path")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _refusal(out, f"the folder '{there}' may not be written", "change its permissions, or give another path")


def _refusal(out: Path, reason: str, help_text: str) -> EditcError:
    """E697 with its reason."""
    return fail("E697", f"the result cannot be written there: {reason}", place=str(out), help=help_text)
