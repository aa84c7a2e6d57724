"""Detectors as ports: does a picture show a concept?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class WorldDetector:
    """The demo world's classifier: a picture shows a concept when that is the likeliest class of its attribute.

    A concept of several known names (`blue heart`) is shown when each of them is.
    """

    classifier: Any

    def knows(self, concept: str) -> bool:
        """True for every name of an object, colour, background or style of the world, and for names in a row."""
        return bool(self._parts(concept))

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(n,) for pictures (n, h, w, 3); KeyError for a concept that it does not know."""
        parts = self._parts(concept)
        if not parts:
            raise KeyError(concept)
        likely = {name: found.argmax(axis=1) for name, found in self.classifier.predict(pictures).items()}
        labels = self.classifier.labels
        return np.asarray(np.all([likely[name] == labels[name].index(label) for name, label in parts], axis=0))

    def concepts(self) -> tuple[str, ...]:
        """Every object of the world by its first name: what a picture can be a picture of."""
        from editc.demo.world import NAMES

        return tuple(NAMES["object"])

    def _parts(self, concept: str) -> list[tuple[str, str]]:
        """(attribute, label) of each known name in turn, longest first; empty when some word belongs to none."""
        words = concept.split()
        for end in range(len(words), 0, -1):
            found = self.classifier.locate(" ".join(words[:end]))
            rest = self._parts(" ".join(words[end:])) if found and end < len(words) else []
            if found and (end == len(words) or rest):
                return [found, *rest]
        return []


def none() -> None:
    """No detector: pictures are painted and shown, and nobody judges them."""


def demo() -> WorldDetector:
    """The detector `editc:demo`."""
    from editc.demo.detector import load

    return WorldDetector(load())
