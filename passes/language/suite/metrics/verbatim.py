"""`forget_verbmem_ROUGE`: how closely the model goes on from the beginning of a text that it must forget, as ROUGE-L F1
between its continuation and the true one (MUSE, section 3.1)."""

from __future__ import annotations

from editc.passes.language.suite.metrics.rouge import WORDS, longest_common
from editc.passes.language.suite.readings import Figures, Metric, Readings, continued, mean_figure

GROUP = "verbatim"
"""The group of texts that go on."""


def rouge_l_f1(truth: str, said: str) -> float:
    """The harmonic mean of the longest common subsequence as a share of either text's words; 0 without words."""
    right, ours = WORDS.findall(truth.lower()), WORDS.findall(said.lower())
    return 2 * longest_common(right, ours) / (len(right) + len(ours)) if right and ours else 0.0


def measure(readings: Readings, oracle: Figures) -> Figures:
    """The mean over the texts that were continued."""
    shares = [rouge_l_f1(one.item.answer, one.said) for one in continued(readings, GROUP)]
    return {"forget_verbmem_ROUGE": mean_figure(shares, "share")} if shares else {}


METRIC = Metric("how closely texts are continued word for word: lower is better", measure, frozenset({GROUP}))
"""The metric `verbatim`."""
