"""`extraction_strength`: how much of a forgotten answer follows from its beginning (Carlini et al., 2021).

Of an answer of n tokens: 1 - k / n, where k is the least number of first tokens after which the model's first choice is
right to the end. An answer whose last token is wrong has k = n - 1, as in open-unlearning's loop.
"""

from __future__ import annotations

import numpy as np

from editc.core.measurements import TokenScores
from editc.passes.language.suite.readings import Figures, Metric, Readings, mean_figure, scored


def extraction_strength(scores: TokenScores) -> float:
    """1 - k / n of one answer; 1 where the model says all of it by itself."""
    wrong = np.flatnonzero(~scores.hits)
    first = 0 if len(wrong) == 0 else min(int(wrong[-1]) + 1, len(scores.hits) - 1)
    return 1 - first / len(scores.hits)


def measure(readings: Readings, oracle: Figures) -> Figures:
    """The mean over the forgotten items."""
    items = [one.answer for one in scored(readings, "forget") if one.answer is not None]
    return {"extraction_strength": mean_figure([extraction_strength(one) for one in items], "share")} if items else {}


METRIC = Metric("how much of each forgotten answer follows from its beginning: lower is better", measure)
"""The metric `extraction_strength`."""
