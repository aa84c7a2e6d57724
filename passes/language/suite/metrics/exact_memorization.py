"""`exact_memorization`: the share of the tokens of forgotten answers that are the model's first choice, each after the
right tokens before it (Tirumala et al., 2022)."""

from __future__ import annotations

from editc.passes.language.suite.readings import Figures, Metric, Readings, mean_figure, scored


def measure(readings: Readings, oracle: Figures) -> Figures:
    """The mean over the forgotten items of the share of each."""
    items = [one.answer for one in scored(readings, "forget") if one.answer is not None]
    return {"exact_memorization": mean_figure([float(one.hits.mean()) for one in items], "share")} if items else {}


METRIC = Metric("share of the tokens of forgotten answers that are the first choice: lower is better", measure)
"""The metric `exact_memorization`."""
