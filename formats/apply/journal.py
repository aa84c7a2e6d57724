"""The journal of a model: a folder `.editc` beside the weights, with one entry (a folder) for each apply, the last on
top.

An entry of an apply in place goes through these states:

1. `.new-NAME`: it is being built. The weights are untouched. If the process is killed, the next run removes the folder.
2. `NAME` without `done`: the entry is complete, with all old bytes in undo.bin. The weights may be any mixture of old
   and new bytes. The only safe step is to put the old bytes back.
3. `NAME` with `done`: every write is on the disk, and the weights hold the results.
4. `NAME` without `done` again: a restore has begun. The weights may be a mixture, as in 2.
5. `.dead-NAME`: the weights hold their old bytes, and the entry is being removed. If the process is killed, the next
   run removes the rest.

Each change of state is one rename, or the creation or removal of the file `done`, so that no state lies between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editc.core.diagnostics import EditcError, fail
from editc.core.storage import disk
from editc.formats.apply.journal_record import (
    DONE,
    RECORD,
    UNDO,
    EditedRange,
    FileMark,
    JournalEntry,
    encode_entry,
    journal_error,
    read_entry,
)
from editc.formats.containers.ranges import hash_range, read_pieces
from editc.formats.containers.table import CONTAINERS
from editc.formats.models.model import Model
from editc.numerics.bits import dtypes

FOLDER = ".editc"
"""The folder of the entries in a model's folder, and the ending of that folder's name beside a single file."""


@dataclass(frozen=True)
class JournalPlace:
    """Where the journal of a model is. The folder may not exist."""

    folder: Path
    """The folder of the entries."""
    root: Path
    """The folder to which file names in the entries are relative."""
    anchor: Path
    """The file or folder that is locked while the model is edited."""


def locate_journal(model: Model) -> JournalPlace:
    """Find the place of a model's journal. A component's folder inside a pipeline uses the pipeline's journal, unless
    it has one of its own."""
    if model.layout == "file":
        return JournalPlace(model.path.parent / f"{model.path.name}{FOLDER}", model.path.parent, model.path)
    root = model.path
    if not (root / FOLDER).is_dir() and (root.parent / "model_index.json").is_file():
        root = root.parent
    return JournalPlace(root / FOLDER, root, root)


def entries(journal_place: JournalPlace) -> tuple[JournalEntry, ...]:
    """Read all complete entries, the oldest first. Raises E635 for one that cannot be trusted."""
    if journal_place.folder.is_symlink():
        raise journal_error("its folder is a link", journal_place.folder)
    if not journal_place.folder.is_dir():
        return ()
    found = sorted(path for path in journal_place.folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return tuple(read_entry(path, journal_place.root) for path in found)


def interrupted_entry(journal_place: JournalPlace) -> JournalEntry | None:
    """Return the entry without `done`, or None. Only the last entry can be without it."""
    stack = entries(journal_place)
    return stack[-1] if stack and not stack[-1].done else None


def begin_entry(
    journal_place: JournalPlace, deltas: Sequence[Mapping[str, Any]], steps: Iterable[bytes | EditedRange]
) -> JournalEntry:
    """Write a complete entry, without `done`, and return it. The weights are not touched.

    `steps` yields for each tensor its present bytes, in any number of pieces, and then its range. `deltas` holds at
    least one summary.
    """
    if not journal_place.folder.is_dir():
        disk.make_folder(journal_place.folder)
    name = _next_entry_name(journal_place, deltas)
    building = journal_place.folder / f".new-{name}"
    disk.make_folder(building)
    ranges: list[EditedRange] = []
    disk.write_new(building / UNDO, _collect_ranges(steps, ranges))
    marks = {file: _file_mark(journal_place.root / file) for file in sorted({part.file for part in ranges})}
    entry = JournalEntry(journal_place.folder / name, "in-place", tuple(deltas), marks, tuple(ranges), False)
    disk.write_new(building / RECORD, [encode_entry(entry)])
    disk.sync_folder(building)
    disk.rename(building, entry.folder)
    return entry


def record_copy(
    folder: Path, earlier: JournalPlace, deltas: Sequence[Mapping[str, Any]], ranges: Sequence[EditedRange]
) -> None:
    """Write the journal of a copy into the new folder `folder`: the source's entries without undo bytes, then one for
    this apply if it applied any delta."""
    disk.make_folder(folder)
    stack = entries(earlier)
    for number, old in enumerate(stack, 1):
        entry = JournalEntry(folder / f"{number:04d}-{_short_id(old.deltas)}", "out", old.deltas, {}, old.ranges, True)
        _write_done_entry(entry)
    if not deltas:
        return
    name = f"{len(stack) + 1:04d}-{_short_id(deltas)}"
    _write_done_entry(JournalEntry(folder / name, "out", tuple(deltas), {}, tuple(ranges), True))


def mark_done(entry: JournalEntry) -> None:
    """Add `done` to the entry: every write is on the disk, and the weights hold the results."""
    disk.write_new(entry.folder / DONE, [])
    disk.sync_folder(entry.folder)


def restore(entry: JournalEntry, journal_place: JournalPlace) -> None:
    """Put the old bytes back and check them. If the process is killed, a restore can be repeated.

    All old bytes are checked first, while the weights are untouched. Then `done` is removed, and the weights may be a
    mixture until the last tensor is written. Raises E635 if old bytes do not have their hash.
    """
    for part in entry.ranges:
        check_undo_bytes(entry, part)
    disk.remove_file(entry.folder / DONE)
    for part in entry.ranges:
        file = journal_place.root / part.file
        if not _is_restored(file, part):
            for start, raw in _read_undo(entry, part):
                disk.write_at(file, part.offset + start, raw)
            if not _is_restored(file, part):
                raise journal_error(f"'{part.name}' could not be restored", entry.folder)
    for file_name, mark in entry.files.items():
        disk.set_mtime(journal_place.root / file_name, mark.modified)
        disk.sync_file(journal_place.root / file_name)


def remove_entry(entry: JournalEntry, journal_place: JournalPlace) -> None:
    """Remove an entry whose old bytes are back in the weights, and the journal's folder if no entry is left."""
    dead = journal_place.folder / f".dead-{entry.folder.name}"
    disk.rename(entry.folder, dead)
    remove_leftovers(journal_place)


def remove_leftovers(journal_place: JournalPlace) -> bool:
    """Remove what a killed run left half built or half removed. Returns True if there was anything. The weights are not
    touched."""
    if journal_place.folder.is_symlink() or not journal_place.folder.is_dir():
        return False
    left = sorted(path for path in journal_place.folder.iterdir() if path.name.startswith((".new-", ".dead-")))
    for path in left:
        disk.remove_tree(path)
    disk.remove_if_empty(journal_place.folder)
    return bool(left) or not journal_place.folder.is_dir()


def check_undo_bytes(entry: JournalEntry, part: EditedRange) -> tuple[Path, int]:
    """Return the file and the position of a tensor's old bytes. Raises E635 if these do not have their hash."""
    file = entry.folder / UNDO
    if hash_range(file, part.undo, part.nbytes) != part.base:
        raise journal_error(f"the stored bytes of '{part.name}' do not have their sha256", entry.folder)
    return file, part.undo


def check_files(entry: JournalEntry, journal_place: JournalPlace) -> None:
    """Raise E636 if a file is no longer the one that was edited, by its size and its header."""
    for name, mark in entry.files.items():
        file = journal_place.root / name
        now = None
        with suppress(EditcError, FileNotFoundError):
            now = _file_mark(file)
        if now is None or (now.size, now.header) != (mark.size, mark.header):
            help_text = "the file was replaced since; to undo the edit, fetch the base again"
            raise fail(
                "E636", f"'{name}' is not the file that was edited", place=str(journal_place.root), help=help_text
            )


def _is_restored(file: Path, part: EditedRange) -> bool:
    return hash_range(file, part.offset, part.nbytes) == part.base


def _read_undo(entry: JournalEntry, part: EditedRange) -> Iterator[tuple[int, bytes]]:
    """Yield the old bytes of a tensor in pieces, each with its position in the tensor."""
    start = 0
    for raw in read_pieces(entry.folder / UNDO, part.undo, part.nbytes):
        yield start, raw
        start += len(raw)


def _collect_ranges(steps: Iterable[bytes | EditedRange], ranges: list[EditedRange]) -> Iterator[bytes]:
    """Yield the bytes among the steps, and append the ranges among them to `ranges`."""
    for step in steps:
        if isinstance(step, EditedRange):
            ranges.append(step)
        else:
            yield step


def _file_mark(file: Path) -> FileMark:
    """Describe a file as it is now. Raises E635 if it is not a weight file."""
    state = file.stat()
    return FileMark(state.st_size, _header_digest(file), state.st_mtime_ns)


def _header_digest(file: Path) -> str:
    """Compute the sha256 of the part of a file that an edit leaves alone.

    That is the header, or all of an ONNX file but its tensors. For a file of ONNX external data it is the hash of
    nothing, because such a file has no header. Raises E635 for any other file.
    """
    container = CONTAINERS.get(file.suffix)
    if container is not None and container.structure_digest is not None:
        return container.structure_digest(file)
    from editc.formats.containers.onnx import read_graph

    for path in (path for folder in file.parents[:2] for path in sorted(folder.glob("*.onnx"))):
        with suppress(EditcError):
            if any(file == path.parent / name for name in read_graph(path).external_locations):
                return dtypes.sha256(b"")
    raise journal_error(f"'{file.name}' is not a weight file of this model", file.parent)


def _next_entry_name(journal_place: JournalPlace, deltas: Sequence[Mapping[str, Any]]) -> str:
    """Name the next entry: a number one above the largest so far, and the beginning of its first delta's id."""
    last = max((int(entry.folder.name.split("-")[0]) for entry in entries(journal_place)), default=0)
    return f"{last + 1:04d}-{_short_id(deltas)}"


def _short_id(deltas: Sequence[Mapping[str, Any]]) -> str:
    """The first 12 digits of the first delta's id."""
    return str(deltas[0]["delta_id"])[:12]


def _write_done_entry(entry: JournalEntry) -> None:
    """Write an entry that has nothing to undo, with `done`."""
    disk.make_folder(entry.folder)
    disk.write_new(entry.folder / RECORD, [encode_entry(entry)])
    mark_done(entry)
