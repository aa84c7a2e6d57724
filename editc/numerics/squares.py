"""Sums of squares by symmetric products: half of a general product's work, and half of its result."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


def half_gram(A: Array) -> Array:
    """A^T A (d, d) of A (n, d) at and below the diagonal, zeros above it (BLAS syrk)."""
    from scipy.linalg.blas import dsyrk

    if not A.size:
        return np.zeros((A.shape[1], A.shape[1]))
    return np.asarray(dsyrk(1.0, np.ascontiguousarray(A, np.float64).T).T)


def mirror(half: Array) -> Array:
    """The symmetric matrix whose lower half is given, zeros above."""
    return np.asarray(half + np.tril(half, -1).T)


def gram(A: Array) -> Array:
    """A^T A (d, d), symmetric to the last bit."""
    return mirror(half_gram(A))


def contract(half: Array, symmetric: Array) -> float:
    """tr(A S) of a symmetric A, given by its lower half, and a symmetric S, (d, d) both: |B C|^2 for A = B^T B and
    S = C C^T."""
    return float(2 * np.vdot(half, symmetric) - np.diagonal(half) @ np.diagonal(symmetric))
