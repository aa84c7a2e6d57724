"""Pull a publication into a folder. Everything is fetched into a hidden folder beside it, which is renamed when all
files are there, so a folder is there whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from editc.core.diagnostics import EditcError, fail
from editc.core.ports import Progress, announce
from editc.core.storage import disk
from editc.formats.exports.read import read_delta
from editc.publish.fetch import Origin, fetch
from editc.publish.listing import Entry, Listing, damaged

WAITING = "editc-pull"
"""The ending of the hidden folder."""


@dataclass(frozen=True)
class Pulled:
    """What `pull` fetched."""

    folder: Path
    """The folder with the files."""
    listing: Listing
    """The files."""
    place: str
    """Where they came from, with the revision or digest that was found there."""
    fresh: bool
    """False where the folder had all of it already."""

    @property
    def delta(self) -> Path:
        """The delta."""
        return self.folder / self.listing.delta.name


def receive(origin: Origin, out: Path, progress: Progress | None = None) -> Pulled:
    """Fetch what `origin` holds into the folder `out`, which does not exist yet, is empty, or holds the same already.

    Raises E953 to E961, E697 where `out` holds something else, E632, and what reading the delta raises.
    """
    out = out.absolute()
    disk.check_folder(out)
    listing = origin.listing()
    if _holds(out, listing):
        return Pulled(out, listing, origin.place, False)
    if out.is_dir() and any(out.iterdir()):
        message = "the result cannot be written there: the folder holds something else"
        raise fail("E697", message, place=str(out), help="give a new folder with --out, or empty this one")
    disk.make_parent(out)
    waiting = _waiting_folder(out, origin.place)
    with disk.guard_writes(out):
        waiting.mkdir(exist_ok=True)
        with disk.wait_for_lock(waiting):
            _fetch_all(origin, listing, waiting, progress)
            _put_in_place(listing, waiting, out, origin.place)
        shutil.rmtree(waiting)
        disk.sync_folder(out.parent)
    return Pulled(out, listing, origin.place, True)


def _waiting_folder(out: Path, place: str) -> Path:
    """The hidden folder for this source, beside `out`: the next run finds it again."""
    source = sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return out.parent / f".{out.name}.{source}.{WAITING}"


def _fetch_all(origin: Origin, listing: Listing, waiting: Path, progress: Progress | None) -> None:
    """Fetch every file into the hidden folder, under its sha256, after what is not listed any more is removed."""
    wanted = {entry.sha256: entry for entry in listing.entries}
    for path in waiting.iterdir():
        if path.name not in wanted:
            disk.clear(path)
    for number, entry in enumerate(wanted.values(), 1):
        announce(progress, f"fetching {entry.name}, file {number} of {len(wanted)}")
        fetch(entry, waiting / entry.sha256, partial(origin.open, entry), origin.place)


def _put_in_place(listing: Listing, waiting: Path, out: Path, place: str) -> None:
    """Lay the fetched files under their names, check the delta, and rename the folder. Raises E953."""
    tree = waiting / "tree"
    tree.mkdir()
    for entry in listing.entries:
        target = tree / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        disk.copy_file(waiting / entry.sha256, target)
    found = read_delta(tree / listing.delta.name).delta_id
    if found != listing.delta_id:
        raise damaged(f"its delta has the delta_id {found[:16]}..., and another one is listed", place)
    try:
        disk.rename(tree, out)
    except OSError as error:
        raise _not_renamed(out, error) from error


def _not_renamed(out: Path, error: OSError) -> EditcError:
    """E697: the folder was filled by somebody else meanwhile."""
    message = f"the result cannot be written there: {error.strerror or error}"
    return fail("E697", message, place=str(out), help="give a new folder with --out")


def _holds(out: Path, listing: Listing) -> bool:
    """True where the folder has exactly these files, byte for byte."""
    if not out.is_dir():
        return False
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_symlink() or not path.is_dir()}
    if found != {entry.name for entry in listing.entries}:
        return False
    return all(_is_file(out / entry.name, entry) for entry in listing.entries)


def _is_file(path: Path, entry: Entry) -> bool:
    """True where this is that file."""
    if path.is_symlink() or path.stat().st_size != entry.size:
        return False
    return sha256(path.read_bytes()).hexdigest() == entry.sha256
