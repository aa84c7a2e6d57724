"""Confidence limits of a counted share: one-sided and exact (Clopper and Pearson, 1934)."""

from __future__ import annotations

from math import exp, lgamma, log

LEVEL = 0.95
"""Confidence of a limit: in one of twenty samples the true share lies beyond it. 95 % is the usual choice."""
STEPS = 60
"""Bisection steps. They halve [0, 1] down to 2^-60, below the last digit of a float64 (2^-53)."""


def upper_limit(count: int, of: int) -> float:
    """Return the greatest true share that is compatible with `count` hits in `of` trials; 0 of 20 gives 0.139.

    With that share, `count` or fewer hits have a chance of 1 - LEVEL. It is 1 if every trial hit, or if `of` is 0.
    """
    if count >= of:
        return 1.0
    low, high = count / of, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _chance_of_at_most(count, of, middle) > 1 - LEVEL else (low, middle)
    return (low + high) / 2


def lower_limit(count: int, of: int) -> float:
    """Return the smallest true share that is compatible with `count` hits in `of` trials; 20 of 20 gives 0.861.

    With that share, `count` or more hits have a chance of 1 - LEVEL. It is 0 if no trial hit, or if `of` is 0.
    """
    return 1.0 - upper_limit(of - count, of)


def _chance_of_at_most(count: int, of: int, share: float) -> float:
    """Return the chance of at most `count` hits in `of` trials, if each trial hits with chance `share` > 0."""
    if share >= 1.0:
        return 0.0
    yes, no = log(share), log(1.0 - share)
    ways = (lgamma(of + 1) - lgamma(i + 1) - lgamma(of - i + 1) for i in range(count + 1))
    return sum(exp(way + i * yes + (of - i) * no) for i, way in enumerate(ways))
