"""Find the detector behind a name of the registry, and say how reports and deltas tell it from another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from editc.backends.detectors.kind import DetectorKind, DetectorRequest
from editc.registry.detectors import DETECTORS


def detector_kind(name: str) -> DetectorKind:
    """Return the kind behind a name of the registry.

    A package may register a `DetectorKind`, or a function without arguments that returns a detector.
    """
    found = DETECTORS.resolve(name)
    return found if isinstance(found, DetectorKind) else DetectorKind(f"the detector `{name}`", lambda request: found())


def identity(name: str, request: DetectorRequest) -> Mapping[str, Any]:
    """Return what reports and deltas record of a detector: its name, its settings, and a sha256 over both and its
    files.

    Two detectors with equal sums judge every picture alike.
    """
    kind = detector_kind(name)
    settings = dict(kind.settings(request))
    hashes = [(path.name, _hash(path)) for path in kind.files(request)]
    whole = json.dumps([name, settings, hashes], sort_keys=True, ensure_ascii=False)
    place = {"place": request.options.place} if request.options.place else {}
    return {"name": name, **place, **settings, "sha256": sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
