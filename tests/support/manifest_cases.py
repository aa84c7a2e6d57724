"""The golden cases of manifests as manifests."""

from __future__ import annotations

from places import CASES

from editc.core.manifest import Manifest
from editc.core.places import Source
from editc.manifests.decode import decode


def load_case(name: str) -> Manifest:
    """The manifest of a golden case without errors; the files that it names are found."""
    (path,) = CASES.glob(f"*/{name}.yaml")
    manifest, found = decode(Source(str(path), path.read_text(encoding="utf-8")), CASES)
    assert manifest is not None, found
    return manifest
