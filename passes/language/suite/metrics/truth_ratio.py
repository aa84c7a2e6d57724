"""`*_truth_ratio`: how likely wrong answers are against the right one, in the same words (TOFU, section 2.2.1).

R = exp(-mean loss of the wrong answers) / exp(-loss of the right answer), losses per token. A forgotten item has R near
1: `forget_truth_ratio` is the mean of min(R, 1 / R). Elsewhere right answers should be likelier: the mean of
max(0, 1 - R).
"""

from __future__ import annotations

import numpy as np

from editc.core.delta import Array
from editc.passes.language.suite.metrics.probability import SHORT_NAMES, TINY
from editc.passes.language.suite.readings import Figure, Figures, Metric, Reading, Readings, compared

FIGURE = {"forget": "forget_truth_ratio", "retain": "retain_Truth_Ratio"} | {
    group: f"{SHORT_NAMES[group]}_Truth_Ratio" for group in ("real_authors", "world_facts")
}
"""Group -> the name of its figure."""


def truth_ratio(one: Reading) -> float:
    """R of one item: the geometric mean of its wrong answers' probabilities over that of the right answer."""
    wrong = np.exp(-np.mean([other.loss for other in one.perturbed]))
    return float(wrong / (np.exp(-one.right.loss) + TINY))


def closer_to_one(ratios: Array) -> float:
    """For forgotten items: the mean of min(R, 1 / R), which is 1 where right and wrong are equally likely."""
    return float(np.mean(np.minimum(ratios, 1 / (ratios + TINY))))


def true_is_better(ratios: Array) -> float:
    """For items that must stay: the mean of max(0, 1 - R)."""
    return float(np.mean(np.maximum(0.0, 1 - ratios)))


def measure(readings: Readings, oracle: Figures) -> Figures:
    """The truth ratio of each group with wrong answers; `by_item` has R itself, which forget quality compares."""
    found = {}
    for group, name in FIGURE.items():
        if items := compared(readings, group):
            ratios = np.array([truth_ratio(one) for one in items])
            value = closer_to_one(ratios) if group == "forget" else true_is_better(ratios)
            found[name] = Figure(value, tuple(ratios.tolist()), "share")
    return found


METRIC = Metric(
    "how likely wrong answers are against right ones: 1 where a forgotten item cannot be told apart", measure
)
"""The metric `truth_ratio`."""
