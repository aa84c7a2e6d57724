"""`mia_min_k`: the membership attack by the least likely tokens of an answer (Shi et al., 2023)."""

from __future__ import annotations

import numpy as np

from editc.core.delta import Array
from editc.passes.language.suite.metrics.membership import attack
from editc.passes.language.suite.readings import Metric, Reading

LEAST_SHARE = 0.4
"""The share of the tokens that counts: open-unlearning's for TOFU and MUSE."""


def mean_of_least(values: Array, share: float = LEAST_SHARE) -> float:
    """Minus the mean of the least `share` of the values (t,), at least one of them."""
    return -float(np.mean(np.sort(values)[: max(1, int(len(values) * share))]))


def min_k(one: Reading) -> float:
    """Minus the mean log-probability of the least likely tokens."""
    assert one.answer is not None
    return mean_of_least(one.answer.log_probabilities)


METRIC = Metric("membership by Min-K, as AUC: as the oracle's is best", attack("mia_min_k", min_k))
"""The metric `mia_min_k`."""
