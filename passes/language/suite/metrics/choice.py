"""`*_choice`: the share of the questions whose right answer is likelier per token than every wrong one: four-way choice
where an item has three wrong answers, so that guessing gets 0.25."""

from __future__ import annotations

from editc.passes.language.suite.readings import Figures, Metric, Reading, Readings, compared, mean_figure

GROUPS = ("forget", "retain", "real_authors", "world_facts")
"""The groups that are asked."""


def chooses_right(one: Reading) -> bool:
    """True if the loss of the right answer is below that of every wrong one."""
    return all(one.right.loss < other.loss for other in one.perturbed)


def measure(readings: Readings, oracle: Figures) -> Figures:
    """The share of right choices in each group."""
    found = {}
    for group in GROUPS:
        if items := compared(readings, group):
            found[f"{group}_choice"] = mean_figure([chooses_right(one) for one in items], "share")
    return found


METRIC = Metric("share of right answers in a choice among four: guessing gets 0.25", measure)
"""The metric `choice`."""
