"""`privleak`: how far membership by Min-K differs from the oracle's, in per cent (MUSE, section 3.3).

100 ((1 - AUC) - (1 - AUC of the oracle)) / (1 - AUC of the oracle). 0 is best: below 0 the forgotten items are still
familiar, above 0 they stick out as unfamiliar. Without an oracle its AUC counts as 0.5.
"""

from __future__ import annotations

from editc.passes.language.suite.metrics import mia_min_k
from editc.passes.language.suite.metrics.probability import TINY
from editc.passes.language.suite.readings import Figure, Figures, Metric, Readings

UNKNOWN_AUC = 0.5
"""The oracle's AUC where there is no oracle: open-unlearning's default."""


def privleak(ours: float, oracle: float) -> float:
    """The relative difference of 1 - AUC, in per cent."""
    return ((1 - ours) - (1 - oracle)) / (1 - oracle + TINY) * 100


def measure(readings: Readings, oracle: Figures) -> Figures:
    """privleak by Min-K; nothing where Min-K cannot be measured."""
    own = mia_min_k.METRIC.measure(readings, {}).get("mia_min_k")
    if own is None:
        return {}
    known = oracle["mia_min_k"].value if "mia_min_k" in oracle else UNKNOWN_AUC
    return {"privleak": Figure(privleak(own.value, known), (), "points")}


METRIC = Metric("how far membership by Min-K is from the oracle's, in per cent: 0 is best", measure)
"""The metric `privleak`."""
