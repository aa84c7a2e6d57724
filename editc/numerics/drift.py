"""How far an edit moves what it should not, and how near it brings what it should: root-mean-square ratios."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


def drift(before: Array, after: Array) -> float:
    """|after - before| / |before| over all entries of outputs (d_out, n); nan for a zero `before` that moved."""
    return ratio(float(np.linalg.norm(after - before)), float(np.linalg.norm(before)))


def residual(before: Array, after: Array, wanted: Array) -> float:
    """|after - wanted| / |before - wanted| over outputs (d_out, m): 1 for no edit, 0 for a complete one."""
    return ratio(float(np.linalg.norm(after - wanted)), float(np.linalg.norm(before - wanted)))


def ratio(part: float, whole: float) -> float:
    """part / whole; 0 / 0 is 0, and x / 0 is inf."""
    if whole == 0.0:
        return 0.0 if part == 0.0 else float("inf")
    return part / whole
