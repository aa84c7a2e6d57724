"""`forget_sampled`: the share of the forgotten questions of which at least one drawn answer is right.

A greedy answer may hide what is left: tokens here are drawn by their probability, several times for each question.
"""

from __future__ import annotations

from editc.passes.language.suite.metrics.greedy import names_answer
from editc.passes.language.suite.readings import Figures, Metric, Readings, mean_figure


def measure(readings: Readings, oracle: Figures) -> Figures:
    """The share of items with a right answer among their samples."""
    items = [one for one in readings.get("forget", ()) if one.sampled]
    right = [any(names_answer(one.item, text) for text in one.sampled) for one in items]
    return {"forget_sampled": mean_figure(right, "share")} if items else {}


METRIC = Metric(
    "share of the forgotten questions that a drawn answer gets right", measure, frozenset(), frozenset({"forget"})
)
"""The metric `sampled`."""
