"""Publish to a folder, and pull from one: the files, and a listing of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from editc.core.diagnostics import fail
from editc.core.storage import disk
from editc.publish.fetch import PIECE, Stream
from editc.publish.listing import LISTING, MOST_BYTES, Entry, Listing, damaged, parse_listing, to_bytes
from editc.publish.parcel import Parcel, link_error
from editc.publish.replace import replace_folder


def write_folder(parcel: Parcel, folder: Path) -> Listing:
    """Write the files of a parcel and their listing into a new folder, which is there whole or not at all. A folder of
    an earlier push is replaced. Raises E697, E632 and what `Parcel.listing` raises."""
    listing, folder = parcel.listing(), folder.absolute()
    disk.check_folder(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / LISTING).is_file():
        message = "the result cannot be written there: the folder holds something else"
        raise fail("E697", message, place=str(folder), help="give a new folder, or empty this one")
    disk.make_parent(folder)
    with disk.guard_writes(folder):
        replace_folder(folder, lambda fresh: _write_files(parcel, listing, fresh))
    return listing


def _write_files(parcel: Parcel, listing: Listing, folder: Path) -> None:
    """Write the files and the listing."""
    for item in parcel.items:
        target = folder / item.name
        target.parent.mkdir(parents=True, exist_ok=True)
        disk.write_new(target, [item.read()])
    disk.write_new(folder / LISTING, [to_bytes(listing)])


@dataclass(frozen=True)
class FolderOrigin:
    """A folder that `write_folder` wrote."""

    place: str
    """What the user typed."""
    folder: Path
    """The folder."""

    def listing(self) -> Listing:
        """The listing in the folder. Raises E953, E956 to E958 and E960."""
        return parse_listing(read_small(self.folder, LISTING, self.place), self.place)

    @contextmanager
    def open(self, entry: Entry, start: int) -> Iterator[Stream]:
        """Open a file at a position. Raises E958 and E960."""
        with open_within(self.folder, entry.name, self.place) as handle:
            os.lseek(handle, start, os.SEEK_SET)
            yield start, iter(lambda: os.read(handle, PIECE), b"")


def read_small(folder: Path, name: str, place: str, most: int = MOST_BYTES) -> bytes:
    """The bytes of a small file in a folder. Raises E953 where it is large, and what `open_within` raises."""
    with open_within(folder, name, place) as handle, os.fdopen(os.dup(handle), "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise damaged(f"'{name}' is larger than {most:,} bytes", place)
    return data


@contextmanager
def open_within(folder: Path, name: str, place: str) -> Iterator[int]:
    """A descriptor of a regular file within a folder, which no link leads to. Raises E958 for a link on the way and
    E960 for what is not there."""
    path = folder
    try:
        for part in Path(name).parts:
            path = path / part
            if path.is_symlink():
                raise link_error(path)
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        message = f"'{name}' cannot be read there: {error.strerror or error}"
        raise fail("E960", message, place=place, help="check the path; `editc push` writes such a folder") from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise fail("E960", f"'{name}' is not a file there", place=place, help="do not use this source")
        yield handle
    finally:
        os.close(handle)
