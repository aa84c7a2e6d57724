"""`detector: editc:demo`: the classifier of the demo model's picture world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends.detectors.kind import DetectorKind, DetectorRequest
from editc.demo import DETECTOR
from editc.demo.names import NAMES, known


@dataclass(frozen=True)
class WorldDetector:
    """The demo world's classifier: a picture shows a concept when that is the likeliest class of its attribute.

    A concept of several known names (`blue heart`) is shown when each of them is.
    """

    classifier: Any
    """The demo's classifier."""

    def knows(self, concept: str) -> bool:
        """True for every name of an object, colour, background or style of the world, and for names in a row."""
        return bool(known(concept))

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(n,) for pictures (n, h, w, 3); KeyError for a concept that it does not know."""
        parts = known(concept)
        if not parts:
            raise KeyError(concept)
        likely = {name: found.argmax(axis=1) for name, found in self.classifier.predict(pictures).items()}
        labels = self.classifier.labels
        return np.asarray(np.all([likely[name] == labels[name].index(label) for name, label in parts], axis=0))

    def concepts(self) -> tuple[str, ...]:
        """Every object of the world by its first name: what a picture can be a picture of."""
        return tuple(NAMES["object"])


def _open(request: DetectorRequest) -> WorldDetector:
    from editc.demo.detector import load

    return WorldDetector(load())


def _concept_test(request: DetectorRequest) -> Callable[[str], bool]:
    return lambda concept: bool(known(concept))


def _files(request: DetectorRequest) -> tuple[Path, ...]:
    return DETECTOR / "labels.json", DETECTOR / "detector.safetensors"


DEMO = DetectorKind("the classifier of the demo model's picture world", _open, knows=_concept_test, files=_files)
