"""What editc did to a model, kept in a folder `.editc` beside the weights: a stack of entries, the last on top.

An entry is complete before the first weight is touched: it is built under a name that begins with `.new-` and renamed.
It loses its meaning at once: it is renamed to `.dead-` and then removed. `done` in it says that every write arrived;
without `done` the weights may be in any mixture of base and result, and only restoring is safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editc.core import disk
from editc.core.diagnostics import EditcError, fail
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


@dataclass(frozen=True)
class JournalPlace:
    """Where the journal of a model is."""

    folder: Path
    """The folder of the entries."""
    root: Path
    """What the file names in the entries are relative to."""
    anchor: Path
    """The file or folder that is locked while the model is edited."""


def locate_journal(model: Model) -> JournalPlace:
    """The place of a model's entries. A component's folder inside a pipeline shares the pipeline's."""
    if model.layout == "file":
        return JournalPlace(model.path.parent / f"{model.path.name}{FOLDER}", model.path.parent, model.path)
    root = model.path
    if not (root / FOLDER).is_dir() and (root.parent / "model_index.json").is_file():
        root = root.parent
    return JournalPlace(root / FOLDER, root, root)


def entries(journal_place: JournalPlace) -> tuple[JournalEntry, ...]:
    """All entries, the oldest first. Raises E635 for one that cannot be trusted."""
    if journal_place.folder.is_symlink():
        raise journal_error("its folder is a link", journal_place.folder)
    if not journal_place.folder.is_dir():
        return ()
    found = sorted(path for path in journal_place.folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return tuple(read_entry(path, journal_place.root) for path in found)


def interrupted_entry(journal_place: JournalPlace) -> JournalEntry | None:
    """The entry whose writes did not all arrive, if there is one; it is always the last."""
    stack = entries(journal_place)
    return stack[-1] if stack and not stack[-1].done else None


def begin_entry(
    journal_place: JournalPlace, deltas: Sequence[Mapping[str, Any]], steps: Iterable[bytes | EditedRange]
) -> JournalEntry:
    """A complete entry on the disk, before any weight is touched; `steps` give the present bytes of each range in as
    many pieces as they like, and then the range."""
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
    """The entries of a copy: those of its source without their undo bytes, and one for what was applied now, if
    anything was."""
    disk.make_folder(folder)
    stack = entries(earlier)
    for number, old in enumerate(stack, 1):
        kept = JournalEntry(folder / f"{number:04d}-{_short_id(old.deltas)}", "out", old.deltas, {}, old.ranges, True)
        _write_done_entry(kept)
    if not deltas:
        return
    name = f"{len(stack) + 1:04d}-{_short_id(deltas)}"
    _write_done_entry(JournalEntry(folder / name, "out", tuple(deltas), {}, tuple(ranges), True))


def mark_done(entry: JournalEntry) -> None:
    """Says that every write of the entry arrived."""
    disk.write_new(entry.folder / DONE, [])
    disk.sync_folder(entry.folder)


def restore(entry: JournalEntry, journal_place: JournalPlace) -> None:
    """Puts the stored bytes back and checks them; may be broken off and begun again at any point."""
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
    """Removes an entry whose bytes are restored, and the journal's folder when it was the only one."""
    dead = journal_place.folder / f".dead-{entry.folder.name}"
    disk.rename(entry.folder, dead)
    remove_leftovers(journal_place)


def remove_leftovers(journal_place: JournalPlace) -> bool:
    """Removes what a killed run left half made or half removed; True if there was anything."""
    if journal_place.folder.is_symlink() or not journal_place.folder.is_dir():
        return False
    left = sorted(path for path in journal_place.folder.iterdir() if path.name.startswith((".new-", ".dead-")))
    for path in left:
        disk.remove_tree(path)
    disk.remove_if_empty(journal_place.folder)
    return bool(left) or not journal_place.folder.is_dir()


def check_undo_bytes(entry: JournalEntry, part: EditedRange) -> tuple[Path, int]:
    """Where the bytes that a range had before are stored. Raises E635 when they do not have their hash."""
    file = entry.folder / UNDO
    if hash_range(file, part.undo, part.nbytes) != part.base:
        raise journal_error(f"the stored bytes of '{part.name}' do not have their sha256", entry.folder)
    return file, part.undo


def check_files(entry: JournalEntry, journal_place: JournalPlace) -> None:
    """Raises E636 unless every file is still the one that was edited, by size and header."""
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
    """The old bytes of a range in pieces, each with its place in the range."""
    start = 0
    for raw in read_pieces(entry.folder / UNDO, part.undo, part.nbytes):
        yield start, raw
        start += len(raw)


def _collect_ranges(steps: Iterable[bytes | EditedRange], ranges: list[EditedRange]) -> Iterator[bytes]:
    for step in steps:
        if isinstance(step, EditedRange):
            ranges.append(step)
        else:
            yield step


def _file_mark(file: Path) -> FileMark:
    state = file.stat()
    return FileMark(state.st_size, _header_digest(file), state.st_mtime_ns)


def _header_digest(file: Path) -> str:
    """sha256 of what an edit leaves alone in a file: its header; all but the tensors of an ONNX file; nothing of a
    file of external data, of which nothing else is known."""
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
    last = max((int(entry.folder.name.split("-")[0]) for entry in entries(journal_place)), default=0)
    return f"{last + 1:04d}-{_short_id(deltas)}"


def _short_id(deltas: Sequence[Mapping[str, Any]]) -> str:
    return str(deltas[0]["delta_id"])[:12]


def _write_done_entry(entry: JournalEntry) -> None:
    disk.make_folder(entry.folder)
    disk.write_new(entry.folder / RECORD, [encode_entry(entry)])
    mark_done(entry)
