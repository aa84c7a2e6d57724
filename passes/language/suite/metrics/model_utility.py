"""`model_utility`: the harmonic mean of nine figures about what must stay (TOFU, section 2.2.2): probability, ROUGE-L
and truth ratio, each on retained items, real authors and world facts. One figure of 0 makes it 0."""

from __future__ import annotations

from collections.abc import Sequence

from editc.passes.language.suite.metrics import probability, rouge, truth_ratio
from editc.passes.language.suite.readings import Figure, Figures, Metric, Readings

PARTS = (
    "retain_Q_A_Prob",
    "retain_Q_A_ROUGE",
    "retain_Truth_Ratio",
    "ra_Q_A_Prob_normalised",
    "ra_Q_A_ROUGE",
    "ra_Truth_Ratio",
    "wf_Q_A_Prob_normalised",
    "wf_Q_A_ROUGE",
    "wf_Truth_Ratio",
)
"""The nine figures, by open-unlearning's names."""


def harmonic_mean(values: Sequence[float]) -> float:
    """n / sum of 1 / x; 0 where one value is 0."""
    return len(values) / sum(1 / one for one in values) if all(one > 0 for one in values) else 0.0


def measure(readings: Readings, oracle: Figures) -> Figures:
    """The harmonic mean of those of the nine that the readings answer, and how many they are: with fewer than nine it
    does not compare with TOFU's."""
    own = {
        name: one for part in (probability, rouge, truth_ratio) for name, one in part.measure(readings, oracle).items()
    }
    values = [own[name].value for name in PARTS if name in own]
    if not values:
        return {}
    name = "model_utility" if len(values) == len(PARTS) else f"model_utility_of_{len(values)}"
    return {name: Figure(harmonic_mean(values), tuple(values), "share")}


METRIC = Metric("harmonic mean of probability, ROUGE-L and truth ratio on what must stay: higher is better", measure)
"""The metric `model_utility`."""
