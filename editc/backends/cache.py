"""A cache on disk: arrays that one build computes and later builds read, such as the rows of a corpus.

A build gives the same result without it. An entry that is missing, cut short or altered is computed again, and a folder
that cannot be written is ignored.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.core.disk import replace_file

SIZE_LIMIT = 2 << 30
"""Bytes that the folder may hold. Beyond, the entries that were not used for longest are removed. Chosen by hand: SDXL
needs 350 MB for a corpus and 23 MB for each name."""
MEASURE_SHARE = 16
"""The folder is listed again when a process has put this part of the limit into it since it last did. Chosen by hand:
listing it for each of n entries takes n^2 steps, and processes at once exceed the limit by a sixteenth each."""
LIBRARIES = ("editc", "numpy", "tokenizers", "torch", "transformers")
"""Packages whose versions may change the last bits of a result."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that set the number of threads, and so the order in which floats are summed."""

_put_since: dict[Path, int] = {}
"""Folder -> bytes that this process has put into it since it last listed it."""


@dataclass(frozen=True)
class DiskCache:
    """A cache in a folder, one file an entry: `KEY.HASH.safetensors`, where HASH is the sha256 of its bytes.

    KEY is a hash of the caller's key and of `environment`, so that an entry is what would be computed here and now, bit
    for bit.
    """

    folder: Path
    """Where the files lie. `put` makes it where it is missing."""
    environment: tuple[str, ...] = ()
    """Libraries, machine and threads: what else the last bits of a result may depend on. `open_cache` fills it."""
    limit: int = SIZE_LIMIT
    """Bytes that the folder may hold."""

    def get(self, key: str) -> Mapping[str, Array] | None:
        """Return the arrays that were put under `key`, each in its own shape and in float64. None where there is no
        whole entry.

        An entry whose bytes do not match the hash in its name is removed.
        """
        from safetensors.numpy import load

        for path in self._entries(self._name(key)):
            with suppress(OSError):
                data = path.read_bytes()
                if path.name.split(".")[1] == _hash(data):
                    os.utime(path)
                    return {name: array.astype(np.float64) for name, array in load(data).items()}
                path.unlink()
        return None

    def has(self, key: str) -> bool:
        """Return whether there is an entry under `key`. Its bytes are not looked at."""
        return bool(self._entries(self._name(key)))

    def put(self, key: str, arrays: Mapping[str, Array], kind: str = "") -> None:
        """Write arrays of any shape under `key`, the whole entry or nothing, and remove old entries beyond the
        limit."""
        from safetensors.numpy import save

        data = save({name: _to_float32(array) for name, array in arrays.items()})
        with suppress(OSError, EditcError):
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.folder / f"{self._name(key)}.{_hash(data)}.safetensors", data, synced=False)
            since = _put_since.get(self.folder, self.limit) + len(data)  # the first entry of a process lists the folder
            _put_since[self.folder] = since
            if since * MEASURE_SHARE >= self.limit:
                self._make_room()

    def _name(self, key: str) -> str:
        """Return the first part of an entry's file name."""
        return _hash("\0".join((key, *self.environment)).encode())

    def _entries(self, name: str = "*") -> list[Path]:
        """List the files of the cache, or those of one name."""
        return sorted(self.folder.glob(f"{name}.*.safetensors"))

    def _make_room(self) -> None:
        """Remove the entries that were not used for longest until the rest is within the limit."""
        _put_since[self.folder] = 0
        entries = sorted(((path.stat().st_mtime_ns, path) for path in self._entries()), reverse=True)
        total = 0
        for _, path in entries:
            total += path.stat().st_size
            if total > self.limit:
                path.unlink(missing_ok=True)


def open_cache() -> DiskCache | None:
    """Return the cache in `$EDITC_CACHE`, else in `$XDG_CACHE_HOME/editc`, else in `~/.cache/editc`.

    None where `$EDITC_CACHE` is set and empty, or where the user has no home folder.
    """
    named = os.environ.get("EDITC_CACHE")
    if named == "":
        return None
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return DiskCache((base / "editc" if named is None else Path(named)).expanduser(), _environment())
    except RuntimeError:  # there is no home
        return None


def _environment() -> tuple[str, ...]:
    """List the libraries, the machine and the thread settings, by which float sums may round differently."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = (f"{name}={os.environ.get(name)}" for name in THREAD_VARIABLES)
    return (*map(_version, LIBRARIES), platform.platform(), platform.processor(), f"{cores} cores", *threads)


def _to_float32(array: Array) -> NDArray[np.floating]:
    """Convert an array to float32 where that loses nothing, as with the rows of a float32 encoder. Otherwise return
    float64."""
    whole = np.ascontiguousarray(array, np.float64)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        half = whole.astype(np.float32)
    return half if np.array_equal(half, whole) else whole


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()
