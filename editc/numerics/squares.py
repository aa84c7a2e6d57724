"""Compute products A^T A at half the work of a general product, by filling only one half of the symmetric result."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Real: TypeAlias = NDArray[np.floating]

ROWS_AT_ONCE = 128
"""Rows of two halves that are multiplied together. Chosen by hand: at a width of 2048 nearly half of the work is left
out."""


def half_gram(A: Array) -> Array:
    """Return the lower half of A^T A for A (n, d): (d, d), with zeros above the diagonal (BLAS syrk)."""
    from scipy.linalg.blas import dsyrk

    if not A.size:
        return np.zeros((A.shape[1], A.shape[1]))
    return np.asarray(dsyrk(1.0, np.ascontiguousarray(A, np.float64).T).T)


def mirror(half: Array) -> Array:
    """Return the symmetric matrix (d, d) from its lower half (d, d), which has zeros above the diagonal."""
    return np.asarray(half + np.tril(half, -1).T)


def gram(A: Array) -> Array:
    """Return A^T A (d, d) for A (n, d), symmetric to the last bit."""
    return mirror(half_gram(A))


def trace_of_product(half: Array, symmetric: Array) -> float:
    """Return tr(A S) for symmetric A and S, (d, d) both, where `half` is the lower half of A with zeros above.

    For A = B^T B and S = C C^T this is |B C|^2.
    """
    return float(2 * np.vdot(half, symmetric) - np.diagonal(half) @ np.diagonal(symmetric))


def dot_rows(first: Real, second: Real) -> float:
    """Return the sum of all entries of first * second, (n, d) both: one product of a BLAS for each row, added up in
    float64."""
    return float(np.vecdot(first, second).sum(dtype=np.float64))


def dot_halves(first: Real, second: Real) -> float:
    """Return what `dot_rows` returns for two matrices (d, d) that are 0 above the diagonal."""
    ends = range(ROWS_AT_ONCE, len(first) + ROWS_AT_ONCE, ROWS_AT_ONCE)
    parts = (np.s_[end - ROWS_AT_ONCE : end, :end] for end in ends)
    return sum(dot_rows(first[part], second[part]) for part in parts)
