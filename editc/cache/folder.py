"""What `editc cache` does with the folder: open it, say what it holds, make it smaller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editc.cache.disk import DiskCache, open_cache, remove_oldest
from editc.cache.entry import EntryRecord, entry_files, imported_name, read_record, read_start, remove_entry
from editc.core.diagnostics import fail


@dataclass(frozen=True)
class Entry:
    """One file of the cache."""

    path: Path
    """The file."""
    size: int
    """Its bytes."""
    used: float
    """When it was last used, in seconds since 1970."""
    record: EntryRecord
    """What it says of itself."""
    imported: bool
    """True where it was computed in another environment, or from what was."""

    def belongs_to(self, model: str) -> bool:
        """Whether a build on this model made it. `model` is its whole name, or the last part of a path."""
        return self.record.model in (model, Path(model).name)


@dataclass(frozen=True)
class Group:
    """The entries of one model and kind."""

    model: str
    """What the manifest called the model."""
    kind: str
    """What they hold."""
    imported: bool
    """True where they were computed in another environment."""
    entries: tuple[Entry, ...]
    """The entries."""

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(one.size for one in self.entries)

    @property
    def used(self) -> float:
        """When one of them was last used, in seconds since 1970."""
        return max(one.used for one in self.entries)

    def as_json(self) -> Mapping[str, Any]:
        """The group as `--json` prints it."""
        named = {"model": self.model, "kind": self.kind, "imported": self.imported}
        return {**named, "entries": len(self.entries), "bytes": self.size, "last_used": round(self.used)}


def require_cache() -> DiskCache:
    """The cache of this user. Raises E800, and E801 where it is switched off."""
    found = open_cache()
    if found is None:
        raise fail("E801", "there is no cache", place="EDITC_CACHE", help="set `EDITC_CACHE` to a folder, or unset it")
    return found


def list_entries(cache: DiskCache) -> tuple[Entry, ...]:
    """All entries, those that were used last first. Files that are gone or cannot be read are left out."""
    return tuple(sorted(_entries(cache), key=lambda one: (-one.used, one.path.name)))


def _entries(cache: DiskCache) -> Iterator[Entry]:
    """The entries, in the order of their names."""
    editc = cache.environment[0] if cache.environment else ""
    for path in entry_files(cache.folder):
        with suppress(OSError):
            about, record = path.stat(), read_record(read_start(path))
            imported = path.name.startswith(imported_name(record.key, editc)) or bool(record.elsewhere)
            yield Entry(path, about.st_size, about.st_mtime, record, bool(record.key) and imported)


def group_entries(entries: Sequence[Entry]) -> tuple[Group, ...]:
    """Group entries by model and kind, the largest group first."""
    found: dict[tuple[str, str, bool], list[Entry]] = {}
    for one in entries:
        found.setdefault((one.record.model, one.record.kind, one.imported), []).append(one)
    groups = (Group(*key, tuple(some)) for key, some in found.items())
    return tuple(sorted(groups, key=lambda one: (-one.size, one.model, one.kind)))


def prune(cache: DiskCache, to: int | None = None, model: str = "", imported: bool = False) -> tuple[Entry, ...]:
    """Remove entries and return them.

    `model` and `imported` choose which are removed. `to` removes those that were not used for longest, until the rest
    has so many bytes. With nothing given, the rest is what the cache may hold.
    """
    before = list_entries(cache)
    named = [one for one in before if (not model or one.belongs_to(model)) and (not imported or one.imported)]
    removed = named if model or imported else []
    for one in removed:
        remove_entry(one.path)
    if to is not None or not (model or imported):
        oldest = set(remove_oldest(cache.folder, cache.limit if to is None else to))
        removed += [one for one in before if one.path in oldest]
    return tuple(removed)
