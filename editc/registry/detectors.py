"""The detectors, which judge whether a picture shows a concept."""

from __future__ import annotations

from editc.registry.table import Table

DETECTORS = Table(
    "detector",
    {
        "": {
            "classifier": "editc.backends.detectors.classifier:CLASSIFIER",
            "clip": "editc.backends.detectors.clip:CLIP",
            "editc:demo": "editc.backends.detectors.world:DEMO",
            "none": "editc.backends.detectors.none:NONE",
            "python": "editc.backends.detectors.code:PYTHON",
        },
    },
)
"""Name of a detector -> its `DetectorKind`. A detector judges pictures, so it goes with any kind of model."""
