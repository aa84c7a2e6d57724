"""One entry of the cache: the record in its header, and its file's name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

METADATA = "editc_cache"
"""The key of the record in the metadata of a safetensors file."""
UNKNOWN = "unknown"
"""The kind and the model of entries without a record: those of earlier versions."""
LONGEST_HEADER = 1 << 20
"""Bytes of a header at most. An entry has a few tensors, so that its header has some hundred bytes."""
LONGEST_TEXT = 500
"""Characters of a model's name or a kind at most."""

_listings: dict[Path, tuple[int, Mapping[str, list[str]]]] = {}
"""Folder -> when it last changed, in nanoseconds, and what it had then (`_list_entries`)."""


@dataclass(frozen=True)
class EntryRecord:
    """What an entry says of itself."""

    key: str
    """sha256 of the key that it was put under. '' where there is no record."""
    kind: str = UNKNOWN
    """What it holds, in plain words, such as `prompts of a name`."""
    model: str = UNKNOWN
    """What the manifest called the model of the build that made it. Builds on another model with the same encoder read
    it too."""
    environment: tuple[str, ...] = ()
    """Libraries, processor and threads where it was computed (`describe_environment`)."""
    elsewhere: tuple[str, ...] = ()
    """The other environments whose entries it was computed from, each as one text. Empty: it was computed anew."""

    def as_metadata(self) -> Mapping[str, str]:
        """The metadata of a safetensors file."""
        return {METADATA: json.dumps(asdict(self), sort_keys=True)}

    def sources(self, environment: tuple[str, ...]) -> frozenset[str]:
        """The environments other than `environment` that its values come from."""
        own = () if self.environment == environment else (", ".join(self.environment),)
        return frozenset((*own, *self.elsewhere))


def read_record(data: bytes) -> EntryRecord:
    """The record in the first bytes of an entry. One without key where there is none, or none that can be read."""
    try:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > LONGEST_HEADER:
            return EntryRecord("")
        held = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][METADATA])
        return EntryRecord(**{one.name: _checked(one.name, held[one.name]) for one in fields(EntryRecord)})
    except (ValueError, KeyError, TypeError, RecursionError):
        return EntryRecord("")


def read_start(path: Path) -> bytes:
    """The bytes of a file up to the end of its safetensors header."""
    with path.open("rb") as file:
        start = file.read(8)
        length = min(int.from_bytes(start, "little"), LONGEST_HEADER)
        return start + file.read(length)


def own_name(key: str, environment: tuple[str, ...], private: bool) -> str:
    """The first part of the file name of an entry that was computed in this environment. `key` is that of the record.
    Private entries have names of their own, which no import can take."""
    return hash_texts("private" if private else "own", key, *environment)


def imported_name(key: str, editc: str) -> str:
    """The same for an entry that was computed elsewhere and may be used all the same, by this version of editc."""
    return hash_texts("elsewhere", editc, key)


def hash_texts(*texts: str) -> str:
    """sha256 over texts, told apart by a zero byte."""
    return sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


def hash_bytes(data: bytes) -> str:
    """sha256 of an entry's bytes."""
    return sha256(data).hexdigest()


def _checked(name: str, value: Any) -> Any:
    """A value of a record: text, or texts. Raises ValueError for anything else."""
    every = value if isinstance(value, list) else [value]
    if isinstance(value, list) != (name in ("environment", "elsewhere")) or not all(_is_text(one) for one in every):
        raise ValueError(name)
    return tuple(value) if isinstance(value, list) else value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def entry_files(folder: Path, name: str = "") -> Iterator[Path]:
    """The files of a cache, sorted by name, or those with one first part of the name."""
    with suppress(OSError):  # no folder, or none that can be read: a cache without entries
        found = _list_entries(folder)
        chosen = found.get(name, []) if name else sorted(chain.from_iterable(found.values()))
        yield from (folder / one for one in chosen)


def forget_listing(folder: Path) -> None:
    """List the folder anew next time. Whoever writes into it or removes from it says so, because the time of its last
    change may not tell two changes apart that come one after the other."""
    _listings.pop(folder, None)


def remove_entry(path: Path) -> None:
    """Remove the file of an entry, if it is there."""
    path.unlink(missing_ok=True)
    forget_listing(path.parent)


def _list_entries(folder: Path) -> Mapping[str, list[str]]:
    """First part of a name -> the files that have it, sorted. A build looks for hundreds of entries among thousands:
    the folder is listed again only where it changed."""
    changed = folder.stat().st_mtime_ns
    known = _listings.get(folder)
    if known is None or known[0] != changed:
        found: dict[str, list[str]] = {}
        for one in sorted(os.listdir(folder)):  # noqa: PTH208 (paths take long to make)
            if one.endswith(".safetensors") and one.count(".") >= 2:
                found.setdefault(one.split(".", 1)[0], []).append(one)
        known = _listings[folder] = changed, found
    return known[1]
