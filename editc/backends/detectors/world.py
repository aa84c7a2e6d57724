"""`detector: editc:demo`: the classifier that was trained on the demo model's pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends.detectors.kind import DetectorKind, DetectorRequest
from editc.demo import DETECTOR
from editc.demo.names import NAMES, parse_concept


@dataclass(frozen=True)
class WorldDetector:
    """Judges by the demo's classifier: a picture shows a concept if the concept is the likeliest class of its
    attribute.

    A concept of several known names (`blue heart`) is shown if each of them is.
    """

    classifier: Any
    """The classifier (`editc.demo.detector`)."""

    def knows(self, concept: str) -> bool:
        """True for each name of an object, colour, background or style of the demo, and for several such names in a
        row."""
        return bool(parse_concept(concept))

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return (n,) bools for pictures (n, h, w, 3). Raises KeyError for an unknown concept."""
        parts = parse_concept(concept)
        if not parts:
            raise KeyError(concept)
        likely = {name: found.argmax(axis=1) for name, found in self.classifier.predict(pictures).items()}
        labels = self.classifier.labels
        return np.asarray(np.all([likely[name] == labels[name].index(label) for name, label in parts], axis=0))

    def concepts(self) -> tuple[str, ...]:
        """Return each object of the demo by its first name."""
        return tuple(NAMES["object"])


def _open(request: DetectorRequest) -> WorldDetector:
    from editc.demo.detector import load

    return WorldDetector(load())


def _concept_test(request: DetectorRequest) -> Callable[[str], bool]:
    return lambda concept: bool(parse_concept(concept))


def _files(request: DetectorRequest) -> tuple[Path, ...]:
    return DETECTOR / "labels.json", DETECTOR / "detector.safetensors"


DEMO = DetectorKind("the classifier of the demo model's picture world", _open, knows=_concept_test, files=_files)
