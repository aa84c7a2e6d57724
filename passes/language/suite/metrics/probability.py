"""`*_Q_A_Prob`: the probability of the right answer, as the geometric mean over its tokens; for `ra` and `wf` also as a
share of the right and the wrong answers together."""

from __future__ import annotations

import numpy as np

from editc.passes.language.suite.readings import Figures, Metric, Readings, compared, mean_figure, scored

SHORT_NAMES = {"forget": "forget", "retain": "retain", "real_authors": "ra", "world_facts": "wf"}
"""Group -> how open-unlearning begins the names of its figures."""
NORMALISED = ("real_authors", "world_facts")
"""The groups whose probability model utility takes as a share of all answers (TOFU, section 2.2)."""
TINY = 1e-10
"""What open-unlearning adds to a divisor."""


def measure(readings: Readings, oracle: Figures) -> Figures:
    """exp(-mean loss) of each right answer; p / (p + sum of wrong p) where wrong answers are normalised with."""
    found = {}
    for group, short in SHORT_NAMES.items():
        if items := scored(readings, group):
            found[f"{short}_Q_A_Prob"] = mean_figure([one.answer.probability for one in items if one.answer], "share")
    for group in NORMALISED:
        if items := compared(readings, group):
            right = np.array([one.answer.probability for one in items if one.answer])
            wrong = np.array([sum(other.probability for other in one.perturbed) for one in items])
            found[f"{SHORT_NAMES[group]}_Q_A_Prob_normalised"] = mean_figure(
                list(right / (right + wrong + TINY)), "share"
            )
    return found


METRIC = Metric(
    "how likely the right answers are, per token; forgotten ones should be as unlikely as the oracle's", measure
)
"""The metric `probability`."""
