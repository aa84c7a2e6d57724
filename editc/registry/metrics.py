"""The metrics of the suites for language models."""

from __future__ import annotations

from editc.registry.table import Table

_PACKAGE = "editc.passes.language.suite.metrics"
METRICS = Table(
    "metric",
    {
        "language": {
            name: f"{_PACKAGE}.{name}:METRIC"
            for name in (
                "probability",
                "rouge",
                "truth_ratio",
                "forget_quality",
                "model_utility",
                "extraction_strength",
                "exact_memorization",
                "mia_loss",
                "mia_min_k",
                "mia_min_k_plus_plus",
                "mia_zlib",
                "privleak",
                "greedy",
                "sampled",
                "choice",
                "refusal",
                "capability",
                "verbatim",
            )
        },
    },
    lambda metric: "language",
    needs=("summary", "measure", "generated", "sampled"),
)
"""Name of a metric -> its `Metric`: one file of the package, or of a plugin."""
