"""`forget_quality`: whether the truth ratios of the forgotten items could be those of a model that never saw them.

It is the p-value of the two-sample Kolmogorov-Smirnov test between this model's truth ratios and the oracle's (TOFU,
section 2.2.3). Above 0.05 the two cannot be told apart at the usual level; that is no proof that they are equal.
"""

from __future__ import annotations

from collections.abc import Sequence

from editc.passes.language.suite.metrics import truth_ratio
from editc.passes.language.suite.readings import Figure, Figures, Metric, Readings


def ks_p_value(ours: Sequence[float], oracle: Sequence[float]) -> float:
    """The p-value of the two-sided two-sample Kolmogorov-Smirnov test."""
    from scipy.stats import ks_2samp

    return float(ks_2samp(ours, oracle).pvalue)


def measure(readings: Readings, oracle: Figures) -> Figures:
    """The p-value; nothing without an oracle."""
    name = truth_ratio.FIGURE["forget"]
    own = truth_ratio.measure({"forget": readings.get("forget", ())}, {})
    if name not in own or name not in oracle:
        return {}
    return {"forget_quality": Figure(ks_p_value(own[name].by_item, oracle[name].by_item))}


METRIC = Metric(
    "p-value of the KS test against the oracle's truth ratios: above 0.05 they cannot be told apart", measure
)
"""The metric `forget_quality`."""
