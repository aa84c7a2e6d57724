"""Copy a model on another thread while its edited tensors are computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from editc.core.diagnostics import fail
from editc.core.storage import disk
from editc.formats.apply import journal

LARGE = 1 << 20
"""Files of at least this many bytes (1 MiB) become hard links if links are asked for. Chosen by hand: files that people
open in an editor are smaller, and an editor would change both copies."""
_STEP = 256 << 20
"""Bytes that the copying thread copies in one step (256 MiB). It can be stopped between two steps. Chosen by hand."""

Holes = Mapping[Path, Sequence[tuple[int, int]]]
"""File of the source -> the ranges (offset, size) of it that are not copied."""


@contextmanager
def copy_in_background(
    source: Path, target: Path, holes: Holes, link: bool = False, more: Sequence[tuple[Path, Path]] = ()
) -> Iterator[list[Path]]:
    """Copy a file or a folder while the `with` block runs; when the block has ended, the copy is complete and on the
    disk.

    Files in `more` (source, target) are copied too. Links are followed. Source and copy share no bytes, except by
    reflink where the file system has it.

    The block must write the ranges in `holes` itself. Every file exists, at its full size, when the block begins.
    Journals in the source are not copied.

    With `link`, files of at least LARGE bytes without holes become hard links. Yields the paths of these links in the
    copy. Raises E610 (a folder contains itself through a link) and E638 (links are impossible).
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
    """Yield each file of the source with its place in the copy. Makes the folders, and appends them to `folders`.
    `above`: the real paths of the folders on the way, to detect circles. Raises E610."""
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
    """Create the file `new`, and yield the ranges (offset, size) of it that are still to be copied. There are none
    after a reflink."""
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
    """Make a hard link to a file. Raises E638."""
    try:
        disk.link_file(old.resolve(), new)
    except OSError as error:
        message = f"'{old.name}' cannot be linked there: {error.strerror}"
        help_text = "links need one file system that has them; leave out --link to copy"
        raise fail("E638", message, place=str(new.parent), help=help_text) from error
