"""The detector behind a name of the registry, and what reports and deltas say of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from editc.backends.detectors.kind import Asked, Kind
from editc.registry.detectors import DETECTORS


def kind_of(name: str) -> Kind:
    """The kind behind a name of the registry. A detector of somebody else's may be a `Kind` or a function that gives
    the detector and takes nothing."""
    found = DETECTORS.resolve(name)
    return found if isinstance(found, Kind) else Kind(f"the detector `{name}`", lambda asked: found())


def identity(name: str, asked: Asked) -> Mapping[str, Any]:
    """How reports and deltas name a detector: what it was told, and sha256 over that and the bytes of its files. Two
    with equal sums say the same of every picture."""
    kind = kind_of(name)
    settings = dict(kind.settings(asked))
    hashes = [(path.name, _hash(path)) for path in kind.files(asked)]
    whole = json.dumps([name, settings, hashes], sort_keys=True, ensure_ascii=False)
    place = {"place": asked.options.place} if asked.options.place else {}
    return {"name": name, **place, **settings, "sha256": sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
