"""`detector: none`: pictures are painted and shown, and nobody judges them."""

from __future__ import annotations

from editc.backends.detectors.kind import DetectorKind

NONE = DetectorKind("pictures are painted and shown, but not judged", lambda request: None)
