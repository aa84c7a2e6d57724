"""A journal entry as a file, `record.json`. Its values are checked on reading, because a downloaded model may bring a
forged or damaged journal."""

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
"""The folder of the entries in a model's folder, and the ending of that folder's name beside a single file."""
RECORD, UNDO, DONE = "record.json", "undo.bin", "done"
"""Names of the files in an entry's folder: the description of the entry, the old bytes of the edited tensors, and an
empty file that exists once every write has arrived."""


@dataclass(frozen=True)
class EditedRange:
    """One tensor that an apply edited, as record.json holds it."""

    component: str
    """The component of the model, such as `unet`."""
    name: str
    """The tensor's name in the delta."""
    delta: str
    """The `delta_id` of the delta that edited it."""
    file: str
    """The file that holds it, relative to `JournalPlace.root`."""
    offset: int
    """The position of its first byte in the file."""
    nbytes: int
    """The number of its bytes."""
    base: str
    """The sha256 of its bytes before the apply."""
    result: str
    """The sha256 of its bytes after the apply."""
    undo: int
    """The position of its old bytes in undo.bin. 0 in an entry of mode `out`, which has no undo.bin."""


@dataclass(frozen=True)
class FileMark:
    """Shows whether a file is still the one that was edited."""

    size: int
    """Its length in bytes."""
    header: str
    """The sha256 of the part of the file that an edit leaves alone (`Container.outline`)."""
    modified: int
    """The time of its last change before the apply, in nanoseconds. A restore sets it again."""


@dataclass(frozen=True)
class JournalEntry:
    """One apply, as the journal records it."""

    folder: Path
    """The folder of the entry."""
    mode: Literal["in-place", "out"]
    """`in-place`, or `out` for the entry of a copy. A copy has nothing to undo, because its base is elsewhere."""
    deltas: tuple[Mapping[str, Any], ...]
    """Of each delta that was applied: its `delta_id`, family, tool and edits."""
    files: Mapping[str, FileMark]
    """File, relative to `JournalPlace.root` -> its mark before the apply. Empty for a copy."""
    ranges: tuple[EditedRange, ...]
    """The edited tensors, in the order in which they were written."""
    done: bool
    """True if every write of the apply is on the disk. False while the apply runs, and after it was killed."""


def encode_entry(entry: JournalEntry) -> bytes:
    """Encode an entry as the bytes of record.json."""
    value = {
        "version": 1,
        "mode": entry.mode,
        "deltas": [dict(delta) for delta in entry.deltas],
        "files": {name: asdict(mark) for name, mark in entry.files.items()},
        "ranges": [asdict(part) for part in entry.ranges],
    }
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode("ascii")


def read_entry(folder: Path, root: Path) -> JournalEntry:
    """Read the entry in `folder`, for a model whose files are under `root`. Raises E635 if the entry cannot be
    trusted."""
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
    """Raise ValueError if a number is negative or not an integer, if a text is not a text, or if no delta is named."""
    numbers = [n for part in entry.ranges for n in (part.offset, part.nbytes, part.undo)]
    numbers += [n for mark in entry.files.values() for n in (mark.size, mark.modified)]
    texts = [t for p in entry.ranges for t in (p.component, p.name, p.delta, p.file, p.base, p.result)]
    if not entry.deltas or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("a number is negative or not a whole number, or no delta is named")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a value that must be a text is not")


def _check_paths(entry: JournalEntry, root: Path) -> None:
    """Raise ValueError if an entry names a file outside the model, also one that a link leads to. A downloaded model
    may bring a forged journal."""
    if entry.mode == "in-place" and not {part.file for part in entry.ranges} <= entry.files.keys():
        raise ValueError("it lists a byte range of a file that it does not list")
    for name in entry.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or FOLDER in "/".join(path.parts):
            raise ValueError(f"'{name}' is not a weight file of this model")
        with suppress(FileNotFoundError):
            (root / name).resolve(strict=True).relative_to(root.resolve())


def journal_error(reason: str, place: Path) -> EditcError:
    """Make the error E635 for a journal that cannot be trusted."""
    help_text = f"fetch the base model again; then remove {place}"
    return fail("E635", f"the undo journal cannot be used: {reason}", place=str(place), help=help_text)
