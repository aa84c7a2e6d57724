"""Edits whose `label` names what a detector looks for in pictures of their concept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from editc.core.manifest import Request
from editc.core.ports import Detector


def labels_of(requests: Sequence[Request]) -> Mapping[str, str]:
    """Concept -> its label, for each edit that has one."""
    return {one.concept: one.label for one in requests if one.label}


def by_label(knows: Callable[[str], bool], labels: Mapping[str, str]) -> Callable[[str], bool]:
    """The same test, asked about the label of a concept that has one."""
    return lambda concept: knows(labels.get(concept, concept))


@dataclass(frozen=True)
class LabelledDetector:
    """A detector that is asked about labels in place of their concepts."""

    inner: Detector
    """The detector, which knows the labels."""
    labels: Mapping[str, str]
    """Concept -> its label."""

    def knows(self, concept: str) -> bool:
        """True if the detector knows the concept's label."""
        return self.inner.knows(self.labels.get(concept, concept))

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """For each of the pictures (n, h, w, 3): whether it shows the concept's label, (n,)."""
        return self.inner.shows(self.labels.get(concept, concept), pictures)

    def concepts(self) -> Sequence[str]:
        """The detector's own concepts."""
        return self.inner.concepts()
