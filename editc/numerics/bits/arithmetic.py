"""The one place where an edit meets a weight. What emit records and what apply writes come from here.

    shared    W + (W left) right        low-rank  W + left right        dense  W + left

The factors are taken from their stored float32 values. Every product is a float64 sum in ascending order of the inner
index, made of separate multiplications and additions and not by BLAS: so the bits depend neither on the machine, nor
on threads, nor on how the rows are cut into chunks, and a result hash can be checked anywhere. (With BLAS the last
bits of the float64 sums vary: 8 of 50 million float32 weights then came out otherwise, d_in 1024, rank 16. One is
enough to spoil a hash.)
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Real: TypeAlias = NDArray[np.floating]

_BLOCK = 1 << 15
"""Elements of the running sum at a time: it and its scratch (512 kB) stay in the second-level cache."""


def patch(W: Array, form: str, left: Real, right: Real | None = None) -> Array:
    """The edited weight in float64, before its rounding to the stored dtype.

    W: (rows, d_in), the whole matrix or some of its rows, then with the same rows of a left that has them.
    left: (d_in, r) for `shared`, (rows, r) for `low-rank`, (rows, d_in) for `dense`. right: (r, d_in), unless dense.
    """
    if form == "dense" or right is None:
        return W + left.astype(np.float64)
    return W + product(product(W, left) if form == "shared" else left, right)


def product(A: Real, B: Real) -> Array:
    """A B in float64, summed in ascending order of the inner index. A: (n, m), B: (m, p) -> (n, p)."""
    n, p = A.shape[0], B.shape[1]
    total = np.zeros((n, p))
    rows = max(1, _BLOCK // max(1, p))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for start in range(0, n, rows):
            _accumulate(total[start : start + rows], A[start : start + rows], B)
    return total


def _accumulate(total: Array, A: Real, B: Real) -> None:
    """Adds A B to `total` in place, one inner index at a time."""
    columns = np.ascontiguousarray(A.T, np.float64)
    scratch = np.empty_like(total)
    for column, row in zip(columns, np.asarray(B, np.float64), strict=True):
        np.multiply(column[:, None], row, out=scratch)
        np.add(total, scratch, out=total)
