"""`mia_loss`: the membership attack by the mean loss of an answer (Yeom et al., 2018)."""

from __future__ import annotations

from editc.passes.language.suite.metrics.membership import attack
from editc.passes.language.suite.readings import Metric, Reading


def loss(one: Reading) -> float:
    """The mean negative log-probability of a token of the answer."""
    assert one.answer is not None
    return one.answer.loss


METRIC = Metric("membership by LOSS, as AUC: as the oracle's is best, 1 is seen, 0.5 unknown", attack("mia_loss", loss))
"""The metric `mia_loss`."""
