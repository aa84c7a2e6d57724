"""`*_Q_A_ROUGE`: how much of the right answer the model says, as ROUGE-L recall of its greedy continuation.

Words are runs of ASCII letters and digits, in lower case, as in the package rouge_score. open-unlearning also reduces
words to stems by Porter's rules; here they stay whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from editc.passes.language.suite.metrics.probability import SHORT_NAMES
from editc.passes.language.suite.readings import Figures, Metric, Readings, continued, mean_figure

WORDS = re.compile(r"[a-z0-9]+")
"""What counts as a word."""


def rouge_l_recall(truth: str, said: str) -> float:
    """The length of the longest common subsequence of words, as a share of the words of the truth; 0 without words."""
    right, ours = WORDS.findall(truth.lower()), WORDS.findall(said.lower())
    return longest_common(right, ours) / len(right) if right else 0.0


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for one in first:
        before = row
        row = [0]
        for at, other in enumerate(second):
            row.append(before[at] + 1 if one == other else max(before[at + 1], row[at]))
    return row[-1]


def measure(readings: Readings, oracle: Figures) -> Figures:
    """ROUGE-L recall over the items of each group that were continued."""
    found = {}
    for group, short in SHORT_NAMES.items():
        if items := continued(readings, group):
            shares = [rouge_l_recall(one.item.answer, one.said) for one in items]
            found[f"{short}_Q_A_ROUGE"] = mean_figure(shares, "share")
    return found


METRIC = Metric("how much of each right answer the model says by itself", measure, frozenset(SHORT_NAMES))
"""The metric `rouge`."""
