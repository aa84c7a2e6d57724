"""Apply an edit to a weight. This is the only place that does it, so what `emit` records is what `apply` writes.

    shared    W + (W left) right        low-rank  W + left right        dense  W + left

The factors are the stored float32 values. Every product is a float64 sum in ascending order of the inner index, made of
separate multiplications and additions instead of BLAS calls. Its bits therefore depend on no machine, on no number of
threads, and on no way of cutting the rows into chunks, and a result hash can be checked anywhere. With BLAS the last
bits of the float64 sums vary: in one measurement (d_in 1024, rank 16), 8 of 50 million float32 weights came out
differently. One is enough to change a hash.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Real: TypeAlias = NDArray[np.floating]

_BLOCK_ELEMENTS = 1 << 15
"""Elements of the running sum that are worked on at a time. Chosen by hand: the sum and its scratch (512 kB) stay in
the second-level cache."""


def patch(W: Array, form: str, left: Real, right: Real | None = None) -> Array:
    """Return the edited weight in float64, before it is rounded to the stored dtype.

    W is (rows, d_in): the whole matrix or some of its rows. left is (d_in, r) for `shared`, (rows, r) for `low-rank`,
    and (rows, d_in) for `dense`; for the last two it has the same rows as W. right is (r, d_in), or None for `dense`.
    """
    if form == "dense" or right is None:
        return W + left.astype(np.float64)
    return W + product(product(W, left) if form == "shared" else left, right)


def product(A: Real, B: Real) -> Array:
    """Return A B (n, p) in float64, summed in ascending order of the inner index, for A (n, m) and B (m, p)."""
    n, p = A.shape[0], B.shape[1]
    total = np.zeros((n, p))
    rows = max(1, _BLOCK_ELEMENTS // max(1, p))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for start in range(0, n, rows):
            _accumulate(total[start : start + rows], A[start : start + rows], B)
    return total


def _accumulate(total: Array, A: Real, B: Real) -> None:
    """Add A B to `total` (n, p) in place, one inner index at a time."""
    columns = np.ascontiguousarray(A.T, np.float64)
    scratch = np.empty_like(total)
    for column, row in zip(columns, np.asarray(B, np.float64), strict=True):
        np.multiply(column[:, None], row, out=scratch)
        np.add(total, scratch, out=total)
