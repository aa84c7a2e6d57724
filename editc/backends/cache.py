"""A folder of arrays kept from one build to the next: what a corpus leaves behind is encoded once and read after that.

Nothing hangs on it: an entry that is missing, cut short or altered is computed again, and a folder that cannot be
written is done without.
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

from editc.core.diagnostics import EditcError
from editc.core.disk import replace_file
from editc.core.ir import Array

SIZE_LIMIT = 2 << 30
"""Bytes that the folder may hold; beyond, the entries not used for longest go. SDXL: 350 MB a corpus, 23 MB a name."""
LIBRARIES = ("editc", "numpy", "torch", "transformers")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class DiskCache:
    """A cache in a folder, one file an entry: `KEY.HASH.safetensors`, where HASH is the sha256 of its bytes.

    KEY is a hash of the caller's key and of `environment`, so that an entry is what would be computed here and now, bit
    for bit.
    """

    folder: Path
    environment: tuple[str, ...] = ()
    limit: int = SIZE_LIMIT

    def get(self, key: str) -> Mapping[str, Array] | None:
        """The arrays put under `key`, or None; an entry whose bytes are not those of its name is removed."""
        from safetensors.numpy import load

        for path in self._entries(self._name(key)):
            with suppress(OSError):
                data = path.read_bytes()
                if path.name.split(".")[1] == _hash(data):
                    os.utime(path)
                    return {name: array.astype(np.float64) for name, array in load(data).items()}
                path.unlink()
        return None

    def put(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Writes the arrays under `key`, whole or not at all, and makes room for them."""
        from safetensors.numpy import save

        data = save({name: _to_float32(array) for name, array in arrays.items()})
        with suppress(OSError, EditcError):
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.folder / f"{self._name(key)}.{_hash(data)}.safetensors", data)
            self._make_room()

    def _name(self, key: str) -> str:
        return _hash("\0".join((key, *self.environment)).encode())

    def _entries(self, name: str = "*") -> list[Path]:
        return sorted(self.folder.glob(f"{name}.*.safetensors"))

    def _make_room(self) -> None:
        entries = sorted(((path.stat().st_mtime_ns, path) for path in self._entries()), reverse=True)
        total = 0
        for _, path in entries:
            total += path.stat().st_size
            if total > self.limit:
                path.unlink(missing_ok=True)


def open_cache() -> DiskCache | None:
    """The cache in `$EDITC_CACHE` (none if that is empty), else `$XDG_CACHE_HOME/editc`, else `~/.cache/editc`."""
    named = os.environ.get("EDITC_CACHE")
    if named == "":
        return None
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return DiskCache((base / "editc" if named is None else Path(named)).expanduser(), _environment())
    except RuntimeError:  # there is no home
        return None


def _environment() -> tuple[str, ...]:
    """Libraries and machine by which float sums may round differently."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = (f"{name}={os.environ.get(name)}" for name in THREAD_VARIABLES)
    return (*map(_version, LIBRARIES), platform.platform(), platform.processor(), f"{cores} cores", *threads)


def _to_float32(array: Array) -> NDArray[np.floating]:
    """In float32 where that loses nothing, as in the rows of an encoder that runs in float32; else in float64."""
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
