"""`mia_min_k_plus_plus`: Min-K with the log-probability of each token against those of all tokens there (Zhang et al.,
2024): (log p - mean) / standard deviation, both over the model's own distribution."""

from __future__ import annotations

import numpy as np

from editc.passes.language.suite.metrics.membership import attack
from editc.passes.language.suite.metrics.mia_min_k import mean_of_least
from editc.passes.language.suite.readings import Metric, Reading

LEAST_VARIANCE = 1e-6
"""The least variance: open-unlearning's."""


def min_k_plus_plus(one: Reading) -> float:
    """Minus the mean of the least standardised log-probabilities."""
    assert one.answer is not None
    scores = one.answer
    spread = np.sqrt(np.maximum(scores.variances, LEAST_VARIANCE))
    return mean_of_least((scores.log_probabilities - scores.means) / spread)


METRIC = Metric(
    "membership by Min-K++, as AUC: as the oracle's is best", attack("mia_min_k_plus_plus", min_k_plus_plus)
)
"""The metric `mia_min_k_plus_plus`."""
