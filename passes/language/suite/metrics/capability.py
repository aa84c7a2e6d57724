"""`capability`: everyday sense, as the share of endings that are chosen right among two, as PIQA's `acc_norm`.

An ending's log-probability is divided by its length in bytes, as in lm-evaluation-harness. Guessing gets 0.5.
"""

from __future__ import annotations

from editc.core.measurements import TokenScores
from editc.passes.language.suite.readings import Figures, Metric, Reading, Readings, compared, mean_figure


def per_byte(scores: TokenScores, text: str) -> float:
    """The log-probability of a text per byte."""
    return float(scores.log_probabilities.sum()) / len(text.encode())


def chooses_right(one: Reading) -> bool:
    """True if the right ending is likelier per byte than every wrong one."""
    assert one.answer is not None
    pairs = zip(one.perturbed, one.item.perturbed_answer, strict=True)
    return all(per_byte(one.answer, one.item.answer) > per_byte(scores, text) for scores, text in pairs)


def measure(readings: Readings, oracle: Figures) -> Figures:
    """The share of right choices in the group `capability`."""
    items = compared(readings, "capability")
    return {"capability": mean_figure([chooses_right(one) for one in items], "share")} if items else {}


METRIC = Metric("everyday sense: share of right endings among two, guessing gets 0.5", measure)
"""The metric `capability`."""
