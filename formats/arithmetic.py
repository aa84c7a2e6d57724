"""The one place where an edit meets a weight. What emit records and what apply writes come from here.

    shared    W + (W left) right        low-rank  W + left right        dense  W + left

The factors are taken from their stored float32 values. Every product is a float64 sum in ascending order of the inner
index, made of separate multiplications and additions and not by BLAS: so the bits depend neither on the machine, nor
on threads, nor on how the rows are cut into chunks, and a result hash can be checked anywhere. (With BLAS the last
bits of the float64 sums vary: 8 of 50 million float32 weights then came out otherwise, d_in 1024, rank 16. One is
enough to spoil a hash.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from editc.ir import Array, Factors

_BLOCK = 1 << 15
"""Elements of the running sum at a time: it and its scratch (512 kB) stay in the second-level cache."""


def patched(W: Array, factors: Factors, k: int) -> Array:
    """The edited weight in float64, before its rounding to the stored dtype.

    W: (rows, d_in), all rows of site `factors.sites[k]` or, unless the form is dense, any of them for `shared`.
    """
    if factors.form == "dense":
        return W + factors.left[k].astype(np.float64)
    right = factors.right[k if len(factors.right) > 1 else 0]
    left = product(W, factors.left[0]) if factors.form == "shared" else factors.left[k]
    return W + product(left, right)


def patched_as_stored(stored: Array, transposed: bool, factors: Factors, k: int) -> Array:
    """`patched` for a tensor as the file holds it: (d_in, d_out) when `transposed`, else (d_out, d_in)."""
    return np.ascontiguousarray(patched(stored.T, factors, k).T) if transposed else patched(stored, factors, k)


def product(A: NDArray[np.floating], B: NDArray[np.floating]) -> Array:
    """A B in float64, summed in ascending order of the inner index. A: (n, m), B: (m, p) -> (n, p)."""
    n, p = A.shape[0], B.shape[1]
    total = np.zeros((n, p))
    rows = max(1, _BLOCK // max(1, p))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for start in range(0, n, rows):
            _accumulate(total[start : start + rows], A[start : start + rows], B)
    return total


def _accumulate(total: Array, A: NDArray[np.floating], B: NDArray[np.floating]) -> None:
    """Adds A B to `total` in place, one inner index at a time."""
    columns = np.ascontiguousarray(A.T, np.float64)
    scratch = np.empty_like(total)
    for column, row in zip(columns, np.asarray(B, np.float64), strict=True):
        np.multiply(column[:, None], row, out=scratch)
        np.add(total, scratch, out=total)
