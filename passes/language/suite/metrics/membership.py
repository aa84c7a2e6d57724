"""What the membership attacks share: the area under the curve between forgotten items and items that no model saw.

1: forgotten items score lower (are more familiar) than every unseen one; 0.5: no difference; this is open-unlearning's
direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from editc.passes.language.suite.readings import Figure, Figures, Reading, Readings, scored

FORGET, UNSEEN = "forget", "holdout"
"""The two groups that an attack tells apart."""


def auc(forgotten: Sequence[float], unseen: Sequence[float]) -> float:
    """The probability that an unseen item has the higher score; an equal score counts half (Mann and Whitney)."""
    ours, theirs = np.asarray(forgotten)[:, None], np.asarray(unseen)[None, :]
    return float(np.mean((theirs > ours) + 0.5 * (theirs == ours)))


def attack(name: str, score: Callable[[Reading], float]) -> Callable[[Readings, Figures], Figures]:
    """The measurement of an attack whose score is lower for what the model has seen. Nothing without both groups."""

    def measure(readings: Readings, oracle: Figures) -> Figures:
        scores = [[score(one) for one in scored(readings, group)] for group in (FORGET, UNSEEN)]
        return {name: Figure(auc(*scores), tuple(scores[0]), "share")} if all(scores) else {}

    return measure
