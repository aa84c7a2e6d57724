"""The mean square: for Gaussians of one covariance their Kullback-Leibler divergence, up to a factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MeanSquare:
    """(n,): mean |a - b|^2 over the entries of each answer."""

    def __call__(self, a: Any, b: Any) -> Any:
        """Compare `a` with `b`, (n, c, h, w) both."""
        return (a - b).flatten(1).square().mean(1)
