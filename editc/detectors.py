"""Detectors as ports: does a picture show a concept?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class WorldDetector:
    """The demo world's classifier: a picture shows a concept when that is the likeliest class of its attribute."""

    classifier: Any

    def knows(self, concept: str) -> bool:
        """True for every name of an object, colour, background or style of the world."""
        return self.classifier.locate(concept) is not None

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(n,) for pictures (n, h, w, 3); KeyError for a concept that it does not know."""
        place = self.classifier.locate(concept)
        if place is None:
            raise KeyError(concept)
        attribute, label = place
        likeliest = self.classifier.predict(pictures)[attribute].argmax(axis=1)
        return np.asarray(likeliest == self.classifier.labels[attribute].index(label))


def demo() -> WorldDetector:
    """The detector `editc:demo`."""
    from editc.demo.detector import load

    return WorldDetector(load())
