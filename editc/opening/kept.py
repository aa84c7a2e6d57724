"""What was found in files, kept for as long as nobody writes to them.

The state of a file is its place, size, inode, and the times of its last change, one of which no program can set back.
Files that changed a moment ago are read again next time: a clock that ticks in milliseconds may not tell the next
change from that one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from editc.core.delta import Array
from editc.core.ports import Cache
from editc.formats.models.fingerprint import float_names, half_digests
from editc.formats.models.finite import find_non_finite
from editc.formats.models.model import Checkpoint

SETTLED = 2.0
"""Seconds after its last change from which a file's state tells it from any later one. Chosen by hand: clocks of file
systems tick in 2 seconds at worst."""


def file_states(files: Iterable[Path]) -> str:
    """The states of some files as a cache key. Writing to one of them changes it."""
    states = [(file.resolve(), file.stat()) for file in files]
    return json.dumps([[str(p), s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for p, s in states])


def are_settled(files: Iterable[Path]) -> bool:
    """True where no file changed in the last SETTLED seconds."""
    newest = max((file.stat().st_ctime for file in files), default=0.0)
    return time.time() - newest > SETTLED


@dataclass(frozen=True)
class Kept:
    """Reads checkpoints for what a build asks of them, and remembers the answers."""

    cache: Cache | None
    """Where answers are kept, for this machine alone. None: nothing is kept."""

    def digests(self, checkpoint: Checkpoint) -> Mapping[str, str]:
        """Name -> sha256 as float16 of each tensor of floats (`half_digests`)."""
        key = self._key("encoder digests 1", checkpoint)
        known = self._get(key, "digests")
        if known is not None:
            return dict(zip(float_names(checkpoint), map(_hex, known), strict=True))
        found = half_digests(checkpoint)
        rows = np.array([[*bytes.fromhex(one)] for one in found.values()], np.float64)
        self._put(key, {"digests": rows.reshape(-1, 32)}, "hashes of text encoders")
        return found

    def broken(self, checkpoint: Checkpoint) -> Sequence[str]:
        """The names of tensors that hold NaN or infinity. Only that there are none is kept."""
        key = self._key("finite 1", checkpoint)
        if self._get(key, "finite") is not None:
            return ()
        found = find_non_finite(checkpoint)
        if not found:
            self._put(key, {"finite": np.ones(1)}, "files found whole")
        return found

    def _key(self, what: str, checkpoint: Checkpoint) -> str:
        """The key of an answer about the files as they are now. Empty where nothing is kept."""
        files = sorted({tensor.file for tensor in checkpoint.tensors.values()})
        return f"{what} {file_states(files)}" if self.cache is not None and files and are_settled(files) else ""

    def _get(self, key: str, name: str) -> Array | None:
        found = self.cache.get(key, [name]) if self.cache is not None and key else None
        return None if found is None else found[name]

    def _put(self, key: str, arrays: Mapping[str, Array], kind: str) -> None:
        if self.cache is not None and key:
            self.cache.put(key, arrays, kind)


NOTHING = Kept(None)
"""Remembers nothing."""


def _hex(row: Array) -> str:
    return row.astype(np.uint8).tobytes().hex()
