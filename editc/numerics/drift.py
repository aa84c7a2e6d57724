"""Measure an edit by two ratios of norms: `drift` of what should stay, `residual` of what should change."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


def drift(before: Array, after: Array) -> float:
    """Return |after - before| / |before| over all entries of outputs (d_out, n): 0 if nothing moved.

    inf if `before` is all zeros and `after` is not.
    """
    return ratio(float(np.linalg.norm(after - before)), float(np.linalg.norm(before)))


def residual(before: Array, after: Array, wanted: Array) -> float:
    """Return |after - wanted| / |before - wanted| over outputs (d_out, m): 1 for no edit, 0 for a complete one."""
    return ratio(float(np.linalg.norm(after - wanted)), float(np.linalg.norm(before - wanted)))


def ratio(part: float, whole: float) -> float:
    """Return part / whole, where 0 / 0 is 0 and x / 0 is inf."""
    if whole == 0.0:
        return 0.0 if part == 0.0 else float("inf")
    return part / whole
