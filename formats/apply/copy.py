"""A copy of a model, made while its edited tensors are being computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from editc.core import disk
from editc.core.diagnostics import fail
from editc.formats.apply import journal

LARGE = 1 << 20
"""From this size on a file is linked, where links are asked for: what people open in an editor is smaller."""
_STEP = 256 << 20
"""Bytes of one step of copying; between two steps it can be stopped."""

Holes = Mapping[Path, Sequence[tuple[int, int]]]


@contextmanager
def copy_in_background(
    source: Path, target: Path, holes: Holes, link: bool = False, more: Sequence[tuple[Path, Path]] = ()
) -> Iterator[list[Path]]:
    """Copies a file or a folder, and `more` files each to its own place, while the block runs; at the end the copy is
    complete and on the disk.

    Links are followed, and source and target share nothing: by reflink where the file system can, else byte by byte.
    `holes` of a file (offset, size) are for the block to write: the file is there when it begins. Old journals stay
    behind. With `link`, files of 1 MiB and more that have no holes become hard links; yields the paths of these, in
    the copy. Raises E610 and E638.
    """
    folders: list[Path] = []
    pairs = [*_pair_files(source, target, folders, (source.resolve(),)), *more]
    linked = [new for old, new in pairs if link and old not in holes and old.stat().st_size >= LARGE]
    for old, new in pairs:
        if new in linked:
            _link(old, new)
    copied = [(old, new) for old, new in pairs if new not in linked]
    jobs = [(old, new, *gap) for old, new in copied for gap in _create_file(old, new, holes.get(old, ()))]
    with ThreadPoolExecutor(1, "copy") as copier:
        running = [copier.submit(disk.copy_range, *job) for job in jobs]
        try:
            yield linked
            for job in running:
                job.result()
        finally:
            copier.shutdown(cancel_futures=True)
    for _, new in copied:
        disk.sync_file(new)
    for folder in folders:
        disk.sync_folder(folder)


def _pair_files(
    source: Path, target: Path, folders: list[Path], above: tuple[Path, ...]
) -> Iterator[tuple[Path, Path]]:
    """Every file with its place in the copy, whose folders are made on the way."""
    if source.is_file():
        yield source, target
        return
    disk.make_folder(target)
    folders.append(target)
    for child in sorted(source.iterdir()):
        if child.is_dir() and child.name != journal.FOLDER:
            real = child.resolve()
            if real in above:
                raise fail("E610", "the folder holds a link to itself", place=str(child), help="remove that link")
            yield from _pair_files(child, target / child.name, folders, (*above, real))
        elif child.is_file():
            yield child, target / child.name


def _create_file(old: Path, new: Path, holes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Makes the new file; what of it is still to be copied: nothing of a reflink."""
    if disk.create_like(old, new):
        return
    start = 0
    for offset, size in (*sorted(holes), (old.stat().st_size, 0)):
        while start < offset:
            step = min(_STEP, offset - start)
            yield start, step
            start += step
        start = max(start, offset + size)


def _link(old: Path, new: Path) -> None:
    try:
        disk.link_file(old.resolve(), new)
    except OSError as error:
        message = f"'{old.name}' cannot be linked there: {error.strerror}"
        help_text = "links need one file system that has them; leave out --link to copy"
        raise fail("E638", message, place=str(new.parent), help=help_text) from error
