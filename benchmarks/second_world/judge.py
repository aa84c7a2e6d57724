"""The second world's classifier as a detector of editc: `detector: python:benchmarks/second_world/judge.py:Judge`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.second_world import DETECTOR
from benchmarks.second_world.names import LEXICON, OBJECTS
from editc.demo.detector import load

ATTRIBUTES: Mapping[str, str] = {name: kind for kind, names in LEXICON.names.items() for name in names}
"""The first name of each thing that the classifier tells -> what it is: an object, a colour, a background, a style."""


class Judge:
    """A picture shows a concept if the concept is the likeliest class of its attribute."""

    def __init__(self) -> None:
        self.classifier = load(DETECTOR)
        """The classifier."""

    def knows(self, concept: str) -> bool:
        """True for the first name of a class."""
        return concept in ATTRIBUTES

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(n,) bools for pictures (n, h, w, 3)."""
        kind = ATTRIBUTES[concept]
        likeliest = self.classifier.predict(pictures)[kind].argmax(axis=1)
        return np.asarray(likeliest == self.classifier.labels[kind].index(concept))

    def concepts(self) -> tuple[str, ...]:
        """The objects."""
        return tuple(OBJECTS)
