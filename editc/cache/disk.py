"""A cache on disk: arrays that one build computes and later builds read, such as the rows of a corpus.

A build gives the same result without it. An entry that is missing, cut short or altered is computed again, and a folder
that cannot be written is ignored.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from editc.cache.entry import (
    UNKNOWN,
    EntryRecord,
    entry_files,
    forget_listing,
    hash_bytes,
    hash_texts,
    imported_name,
    own_name,
    read_record,
    remove_entry,
)
from editc.cache.environment import describe_environment
from editc.cache.sizes import parse_size
from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.core.ports import Context
from editc.core.storage.disk import replace_file

SIZE_LIMIT = 2 << 30
"""Bytes that the folder may hold where `EDITC_CACHE_SIZE` does not say. Beyond, the entries that were not used for
longest are removed. Chosen by hand: SDXL needs 350 MB for a corpus and 23 MB for each name."""
MEASURE_SHARE = 16
"""The folder is listed again when a process has put this part of the limit into it since it last did. Chosen by hand:
listing it for each of n entries takes n^2 steps, and processes at once exceed the limit by a sixteenth each."""

_put_since: dict[Path, int] = {}
"""Folder -> bytes that this process has put into it since it last listed it."""


@dataclass(frozen=True)
class DiskCache:
    """A cache in a folder, one file an entry: `KEY.HASH.safetensors`, where HASH is the sha256 of its bytes.

    KEY is a hash of the caller's key and of `environment`, so that an entry is what would be computed here and now, bit
    for bit. The exception are entries that `editc cache import --accept-rounding` brought: they are used where there is
    no other, and `borrowed` says so.
    """

    folder: Path
    """Where the files lie. `put` makes it where it is missing."""
    environment: tuple[str, ...] = ()
    """What else the last bits of a result may depend on (`describe_environment`). `open_cache` fills it."""
    limit: int = SIZE_LIMIT
    """Bytes that the folder may hold."""
    model: str = UNKNOWN
    """What the manifest calls the model; entries record it."""
    private: bool = False
    """True: the entries are about files of this machine. They are neither exported nor imported."""
    lends: bool = True
    """False: imported entries that were computed elsewhere are not used."""
    borrowed: set[str] = field(default_factory=set, compare=False)
    """The other environments in which entries were computed that `get` returned, each as one text. What is put after
    that may depend on them, and records them."""
    refused: set[str] = field(default_factory=set, compare=False)
    """The files of entries that `get` removed: damaged ones, and those of somebody else."""

    def get(self, key: str, names: Iterable[str] = ()) -> Mapping[str, Array] | None:
        """Return the arrays that were put under `key`, each in its own shape and in float64. None where there is no
        whole entry with all of `names`.

        An entry is removed, and told in `refused`, whose bytes do not match the hash in its name, that was put under
        another key, or that lacks one of the names.
        """
        for path in self._find(key):
            with suppress(OSError):
                data = path.read_bytes()
                arrays = _read_arrays(path, key, data)
                if arrays is not None and arrays.keys() >= {*names}:
                    os.utime(path)
                    self._note_source(path, key, data)
                    return arrays
                remove_entry(path)
                self.refused.add(path.name)
        return None

    def has(self, key: str) -> bool:
        """Return whether there is an entry under `key`. Its bytes are not looked at."""
        return next(self._find(key), None) is not None

    def put(self, key: str, arrays: Mapping[str, Array], kind: str = "") -> None:
        """Write arrays of any shape under `key`, the whole entry or nothing, in place of what was there, and remove old
        entries beyond the limit."""
        from safetensors.numpy import save

        record = EntryRecord(
            hash_texts(key), kind or UNKNOWN, self.model, self.environment, tuple(sorted(self.borrowed))
        )
        data = save({name: _to_float32(array) for name, array in arrays.items()}, dict(record.as_metadata()))
        with suppress(OSError, EditcError):
            self.store(self._imported(key) if self.borrowed else self._own(key), data)

    def store(self, name: str, data: bytes) -> None:
        """Write an entry whose file name begins with `name`, and remove old entries beyond the limit."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"{name}.{hash_bytes(data)}.safetensors"
        replace_file(target, data, synced=False)
        forget_listing(self.folder)
        for path in entry_files(self.folder, name):
            if path != target:
                remove_entry(path)
        since = _put_since.get(self.folder, self.limit) + len(data)  # the first entry of a process lists the folder
        _put_since[self.folder] = since
        if since * MEASURE_SHARE >= self.limit:
            self._make_room()

    def _own(self, key: str) -> str:
        """Return the first part of the file name of an entry that is computed here."""
        return own_name(hash_texts(key), self.environment, self.private)

    def _imported(self, key: str) -> str:
        """Return the same for an entry that was computed elsewhere."""
        return imported_name(hash_texts(key), self.environment[0] if self.environment else "")

    def _find(self, key: str) -> Iterator[Path]:
        """Yield the files of an entry, those that were computed here first."""
        yield from entry_files(self.folder, self._own(key))
        if self.lends and not self.private:
            yield from entry_files(self.folder, self._imported(key))

    def _note_source(self, path: Path, key: str, data: bytes) -> None:
        """Remember where an entry was computed, if not here."""
        if not path.name.startswith(self._own(key)):
            self.borrowed.update(read_record(data).sources(self.environment))

    def _make_room(self) -> None:
        """Remove the entries that were not used for longest until the rest is within the limit."""
        _put_since[self.folder] = 0
        remove_oldest(self.folder, self.limit)


def remove_oldest(folder: Path, limit: int) -> list[Path]:
    """Remove the entries that were not used for longest until the rest has at most `limit` bytes. Return which."""
    entries = sorted(((path.stat().st_mtime_ns, path) for path in entry_files(folder)), reverse=True)
    total, removed = 0, []
    for _, path in entries:
        total += path.stat().st_size
        if total > limit:
            remove_entry(path)
            removed.append(path)
    return removed


def without_imported(ctx: Context) -> Context:
    """The ports with a cache that uses no entries from elsewhere, for measuring a delta again."""
    return replace(ctx, cache=replace(ctx.cache, lends=False)) if isinstance(ctx.cache, DiskCache) else ctx


def open_cache(model: str = UNKNOWN) -> DiskCache | None:
    """Return the cache in `$EDITC_CACHE`, else in `$XDG_CACHE_HOME/editc`, else in `~/.cache/editc`. It holds
    `$EDITC_CACHE_SIZE`, else SIZE_LIMIT. `model` is what the manifest calls the model.

    None where `$EDITC_CACHE` is set and empty, or where the user has no home folder. Raises E800.
    """
    named = os.environ.get("EDITC_CACHE")
    if named == "":
        return None
    base, size = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache"), os.environ.get("EDITC_CACHE_SIZE")
    limit = parse_size(size, "EDITC_CACHE_SIZE") if size else SIZE_LIMIT
    shown = Path(model).name if Path(model).exists() else model  # a path would tell others of the user's folders
    try:
        folder = (base / "editc" if named is None else Path(named)).expanduser()
    except RuntimeError:  # there is no home
        return None
    return DiskCache(folder, describe_environment(), limit, shown)


def _read_arrays(path: Path, key: str, data: bytes) -> Mapping[str, Array] | None:
    """The arrays of an entry, from its bytes. None where these are not the bytes of an entry under `key`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if path.name.split(".")[1] != hash_bytes(data) or read_record(data).key != hash_texts(key):
        return None
    try:
        return {name: array.astype(np.float64) for name, array in load(data).items()}
    except (SafetensorError, ValueError, TypeError, KeyError):
        return None


def _to_float32(array: Array) -> NDArray[np.floating]:
    """Convert an array to float32 where that loses nothing, as with the rows of a float32 encoder. Otherwise return
    float64."""
    whole = np.ascontiguousarray(array, np.float64)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        half = whole.astype(np.float32)
    return half if np.array_equal(half, whole) else whole
