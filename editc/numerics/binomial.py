"""How far a share that was counted may be from the true one: one-sided exact limits (Clopper and Pearson, 1934)."""

from __future__ import annotations

from math import exp, lgamma, log

LEVEL = 0.95
"""Confidence of a limit: in one of twenty samples the true share lies beyond it."""
STEPS = 60
"""Halvings of [0, 1]: the limit is found to the last digit of a float64."""


def at_most(count: int, of: int) -> float:
    """The greatest share that still gives `count` or fewer of `of` with a chance of 1 - LEVEL; 1 where all were counted
    or nothing was asked. 0 of 20: 0.139."""
    if count >= of:
        return 1.0
    low, high = count / of, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _up_to(count, of, middle) > 1 - LEVEL else (low, middle)
    return (low + high) / 2


def at_least(count: int, of: int) -> float:
    """The smallest share that still gives `count` or more of `of` with a chance of 1 - LEVEL; 0 where none was counted
    or nothing was asked. 20 of 20: 0.861."""
    return 1.0 - at_most(of - count, of)


def _up_to(count: int, of: int, share: float) -> float:
    """The chance of `count` or fewer of `of`, each with the chance `share`, which is above 0."""
    if share >= 1.0:
        return 0.0
    yes, no = log(share), log(1.0 - share)
    ways = (lgamma(of + 1) - lgamma(i + 1) - lgamma(of - i + 1) for i in range(count + 1))
    return sum(exp(way + i * yes + (of - i) * no) for i, way in enumerate(ways))
