"""Fetch one file: go on where an earlier run stopped, accept no byte too many, and compare the sha256 at the end."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from editc.core.diagnostics import EditcError, fail
from editc.core.storage.disk import guard_writes
from editc.publish.listing import Entry, Listing

Stream: TypeAlias = tuple[int, Iterator[bytes]]
"""The position in the file at which the bytes begin, and the bytes. The position is 0 where a server has no ranges."""
Opener: TypeAlias = Callable[[int], AbstractContextManager[Stream]]
"""Opens a file at a position. Raises E959 where the connection fails and E960 where the server refuses."""
TRIES = 5
"""How often a connection may fail in a row, without one new byte, before the run gives up. Chosen by hand."""
WAIT = 0.2
"""Seconds before the second try; each later one waits twice as long."""
PIECE = 1 << 16
"""Bytes that are read and written at once."""


class Origin(Protocol):
    """Where a publication lies: a folder, an OCI layout, a registry, a hub repository."""

    @property
    def place(self) -> str:
        """What the user typed, for messages."""
        ...

    def listing(self) -> Listing:
        """What is published there."""
        ...

    def open(self, entry: Entry, start: int) -> AbstractContextManager[Stream]:
        """Open a file of the listing at a position."""
        ...


def fetch(entry: Entry, part: Path, opener: Opener, place: str) -> None:
    """Fetch a file to `part`, beginning with what an earlier run left there. Where that was no beginning of the file,
    because the source was damaged then, it is fetched anew.

    Raises E954 for another sha256 and E955 for another size, after which nothing is left of the file; E959 where the
    transfer broke off, and E960, after which the next run goes on.
    """
    if part.exists() and part.stat().st_size > entry.size:
        part.unlink()
    resumed = _size(part) > 0
    _fetch_rest(entry, part, opener, place)
    if resumed and _digest(part) != entry.sha256:
        part.unlink()
        _fetch_rest(entry, part, opener, place)
    _check_digest(entry, part, place)


def _fetch_rest(entry: Entry, part: Path, opener: Opener, place: str) -> None:
    """Fetch what `part` lacks, in several tries where the transfer breaks off."""
    failed = 0
    while _size(part) < entry.size or not part.exists():
        before = _size(part)
        try:
            _append(entry, part, opener, place)
        except EditcError as error:
            failed = 0 if _size(part) > before else failed + 1
            if error.diagnostics[0].code != "E959" or failed >= TRIES:
                raise
            time.sleep(WAIT * 2**failed)


def _size(part: Path) -> int:
    """The bytes that are there."""
    return part.stat().st_size if part.exists() else 0


def _append(entry: Entry, part: Path, opener: Opener, place: str) -> None:
    """Write what is missing to the end of `part`. Raises E955 and E959."""
    with opener(_size(part)) as (start, pieces), part.open("r+b" if part.exists() else "xb") as file:
        if start > _size(part):
            raise broken(f"the server sent '{entry.name}' from another byte on than it was asked for", place)
        file.truncate(start)
        file.seek(start)
        for piece in pieces:
            start += len(piece)
            if start > entry.size:
                file.truncate(0)
                raise _size_error(entry, f"more than the {entry.size:,} bytes that it should have", place)
            _write(file, piece, part)
        file.flush()
        os.fsync(file.fileno())
    if start < entry.size:
        raise broken(f"'{entry.name}' ended after {start:,} of {entry.size:,} bytes", place)


def _write(file: BinaryIO, piece: bytes, part: Path) -> None:
    """Write some bytes, so that they are there if the run is killed. Raises E632, for which no server is to blame."""
    with guard_writes(part):
        file.write(piece)
        file.flush()


def _digest(part: Path) -> str:
    with part.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_digest(entry: Entry, part: Path, place: str) -> None:
    """Raises E954, and removes the file, unless it has the sha256 that was published."""
    found = _digest(part)
    if found == entry.sha256:
        return
    with suppress(OSError):
        part.unlink()
    message = f"'{entry.name}' is not the file that was published"
    notes = [f"its sha256 is {found}", f"it should be {entry.sha256}"]
    raise fail("E954", message, place=place, help="run it again; if it stays so, do not use this source", notes=notes)


def _size_error(entry: Entry, why: str, place: str) -> EditcError:
    """E955: a file of another size than its listing says."""
    message = f"'{entry.name}' has {why}"
    return fail("E955", message, place=place, help="do not use this source: the file is not what was published")


def broken(why: str, place: str) -> EditcError:
    """E959: a transfer that broke off, or a server that is not reached."""
    help_text = "run it again: it goes on where it stopped"
    return fail("E959", f"the transfer broke off: {why}", place=place, help=help_text)
