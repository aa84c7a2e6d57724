"""The detector behind a name of the registry, and what reports and deltas say of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from editc.backends.detectors.kind import DetectorKind, DetectorRequest
from editc.registry.detectors import DETECTORS


def detector_kind(name: str) -> DetectorKind:
    """The kind behind a name of the registry. A detector of somebody else's may be a `Kind` or a function that gives
    the detector and takes nothing."""
    found = DETECTORS.resolve(name)
    return found if isinstance(found, DetectorKind) else DetectorKind(f"the detector `{name}`", lambda request: found())


def identity(name: str, request: DetectorRequest) -> Mapping[str, Any]:
    """How reports and deltas name a detector: what it was told, and sha256 over that and the bytes of its files. Two
    with equal sums say the same of every picture."""
    kind = detector_kind(name)
    settings = dict(kind.settings(request))
    hashes = [(path.name, _hash(path)) for path in kind.files(request)]
    whole = json.dumps([name, settings, hashes], sort_keys=True, ensure_ascii=False)
    place = {"place": request.options.place} if request.options.place else {}
    return {"name": name, **place, **settings, "sha256": sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
