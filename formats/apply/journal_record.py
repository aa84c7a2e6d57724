"""One entry of the journal as a file: `record.json`, written plainly and read with distrust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from editc.core.diagnostics import EditcError, fail
from editc.formats.containers.canonical import strict_json
from editc.formats.containers.safetensors import read_small

FOLDER = ".editc"
RECORD, UNDO, DONE = "record.json", "undo.bin", "done"


@dataclass(frozen=True)
class EditedRange:
    """One edited tensor of an entry."""

    component: str
    """Its component."""
    name: str
    """Its name in the delta."""
    delta: str
    """The `delta_id` of the delta that edited it."""
    file: str
    """The file that it is in, relative to the journal's root."""
    offset: int
    """Where in the file its bytes begin."""
    nbytes: int
    """How many bytes it has."""
    base: str
    """The sha256 of its bytes before."""
    result: str
    """The sha256 of its bytes after."""
    undo: int
    """Where in undo.bin its old bytes begin."""


@dataclass(frozen=True)
class FileMark:
    """What tells that a file is still the one that was edited."""

    size: int
    """Its bytes."""
    header: str
    """The sha256 of what an edit leaves alone in it (`Container.structure_digest`)."""
    modified: int
    """The time of its last change, in nanoseconds."""


@dataclass(frozen=True)
class JournalEntry:
    """One apply."""

    folder: Path
    """The folder of the entry."""
    mode: Literal["in-place", "out"]
    """`out` has nothing to undo, for the base is elsewhere."""
    deltas: tuple[Mapping[str, Any], ...]
    """What is told of each delta: its `delta_id` and its edits."""
    files: Mapping[str, FileMark]
    """File, relative to the journal's root -> what it was after the apply."""
    ranges: tuple[EditedRange, ...]
    """The tensors that were edited."""
    done: bool
    """False while the apply runs, or after it was killed."""


def encode_entry(entry: JournalEntry) -> bytes:
    """The bytes of record.json for an entry."""
    value = {
        "version": 1,
        "mode": entry.mode,
        "deltas": [dict(delta) for delta in entry.deltas],
        "files": {name: asdict(mark) for name, mark in entry.files.items()},
        "ranges": [asdict(part) for part in entry.ranges],
    }
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode("ascii")


def read_entry(folder: Path, root: Path) -> JournalEntry:
    """The entry in `folder`, of a model whose files are under `root`. Raises E635 for one that cannot be trusted."""
    try:
        value: Any = strict_json(read_small(folder / RECORD))
        if value["version"] != 1 or value["mode"] not in ("in-place", "out") or not folder.name[:4].isdigit():
            raise ValueError("its version or mode is unknown")
        marks = {name: FileMark(**mark) for name, mark in value["files"].items()}
        ranges = tuple(EditedRange(**part) for part in value["ranges"])
        deltas = tuple({"delta_id": str(delta["delta_id"]), **delta} for delta in value["deltas"])
        entry = JournalEntry(folder, value["mode"], deltas, marks, ranges, (folder / DONE).is_file())
        _check_types(entry)
        _check_paths(entry, root)
    except (EditcError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise journal_error(f"its record is not sound ({type(error).__name__}: {str(error)[:200]})", folder) from error
    return entry


def _check_types(entry: JournalEntry) -> None:
    numbers = [n for part in entry.ranges for n in (part.offset, part.nbytes, part.undo)]
    numbers += [n for mark in entry.files.values() for n in (mark.size, mark.modified)]
    texts = [t for p in entry.ranges for t in (p.component, p.name, p.delta, p.file, p.base, p.result)]
    if not entry.deltas or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("a number is not one")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text is not one")


def _check_paths(entry: JournalEntry, root: Path) -> None:
    """A downloaded model may bring a forged journal: it must not reach outside the model, nor through a link."""
    if entry.mode == "in-place" and not {part.file for part in entry.ranges} <= entry.files.keys():
        raise ValueError("a range is in a file without a mark")
    for name in entry.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or FOLDER in "/".join(path.parts):
            raise ValueError(f"'{name}' is not a weight file of this model")
        with suppress(FileNotFoundError):
            (root / name).resolve(strict=True).relative_to(root.resolve())


def journal_error(reason: str, place: Path) -> EditcError:
    """The error for a journal that cannot be trusted."""
    help_text = f"fetch the base model again; then remove {place}"
    return fail("E635", f"the undo journal cannot be used: {reason}", place=str(place), help=help_text)
