"""Settle the elements that `rounded` doubts: by a closer bound on both sums, and what is then left in the fixed order.

The bound that serves all elements takes every partial sum for as large as it could be. Terms have signs, so partial
sums are some sqrt(n) times smaller. For a few rows they are worth knowing: W left is summed in pieces of PIECE terms,
whose sums say how large the partial sums of the fixed order are between them.

    |fl(sum x_k) - sum x_k| <= u (sum_k |x_k| + sum_k |s_k|)     s_k: the computed partial sums

Both terms are bounded for a piece by |W_r| |left_j| over the piece alone (Cauchy-Schwarz).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.bits import dtypes
from editc.numerics.bits.arithmetic import product

Array: TypeAlias = NDArray[np.float64]
Real: TypeAlias = NDArray[np.floating]
Places: TypeAlias = NDArray[np.intp]
Bits: TypeAlias = NDArray[np.unsignedinteger]

UNIT_ROUNDOFF = 2.0**-53
"""u, the unit roundoff of float64."""
PIECE = 32
"""Terms in a piece. Chosen by hand: a 24th of the shortest row in use, and not too few for a BLAS call."""
SAFETY = 1.1
"""Bounds are a tenth larger than theory asks for, which covers the rounding of the bounds themselves."""


@dataclass(frozen=True)
class Doubts:
    """Elements of an edited weight whose rounding is in doubt."""

    W: Array
    """(rows, width): the rows that they are in, before the edit."""
    left: Real
    """(width, r) for the form `shared`; (rows, r), those of the same rows, for `low-rank`."""
    right: Real
    """(r, width)."""
    shared: bool
    """True for the form `shared`."""
    row: Places
    """(n,): the row of each element, as a row of `W`."""
    column: Places
    """(n,): its column."""


def settle(doubts: Doubts, dtype: str) -> tuple[Bits, int]:
    """Return the patterns (n,) of the elements in `dtype`, and how many of them had to be summed in the fixed order."""
    low, high = _ends(doubts) if doubts.shared else (None, None)
    if low is None or high is None:
        return dtypes.encode_patterns(_in_fixed_order(doubts), dtype), len(doubts.row)
    first, other = (dtypes.encode_patterns(end, dtype) for end in (low, high))
    left = np.flatnonzero((first != other) | ~np.isfinite(low) | ~np.isfinite(high))
    out = first.copy()
    if len(left):
        rows, row = np.unique(doubts.row[left], return_inverse=True)
        some = Doubts(doubts.W[rows], doubts.left, doubts.right, True, row, doubts.column[left])
        out[left] = dtypes.encode_patterns(_in_fixed_order(some), dtype)
    return out, len(left)


def _in_fixed_order(doubts: Doubts) -> Array:
    """Return the elements (n,) in float64, each summed as `arithmetic.patch` sums it."""
    A = product(doubts.W, doubts.left) if doubts.shared else np.asarray(doubts.left, np.float64)
    right = np.asarray(doubts.right, np.float64)
    total = np.zeros(len(doubts.row))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for j in range(A.shape[1]):
            total += A[doubts.row, j] * right[j, doubts.column]
        return np.asarray(doubts.W[doubts.row, doubts.column] + total)


def _ends(doubts: Doubts) -> tuple[Array, Array]:
    """Return two numbers (n,), (n,) between which each element lies, summed in the fixed order."""
    A, error = _piecewise(doubts.W, np.asarray(doubts.left, np.float64))
    right = np.ascontiguousarray(np.asarray(doubts.right, np.float64).T)
    value, reach, far = (np.empty(len(doubts.row)) for _ in range(3))
    with np.errstate(all="ignore"):
        for start in range(0, len(value), 1 << 12):
            part = slice(start, start + (1 << 12))
            ours, theirs = A[doubts.row[part]], right[doubts.column[part]]
            value[part] = np.einsum("ij,ij->i", ours, theirs)
            reach[part] = np.einsum("ij,ij->i", np.abs(ours), np.abs(theirs))
            far[part] = np.einsum("ij,ij->i", error[doubts.row[part]], np.abs(theirs))
        W = doubts.W[doubts.row, doubts.column]
        terms = 2 * (A.shape[1] + 2)
        e = SAFETY * (far + UNIT_ROUNDOFF * (terms * reach + 4 * (np.abs(W) + np.abs(value))))
        return W + value - e, W + value + e


def _piecewise(W: Array, left: Array) -> tuple[Array, Array]:
    """Return W left (n, r), summed piece by piece, and how far the sum in the fixed order may be from it, (n, r)."""
    total, error = np.zeros((len(W), left.shape[1])), np.zeros((len(W), left.shape[1]))
    with np.errstate(all="ignore"):
        for start in range(0, W.shape[1], PIECE):
            ours, theirs = W[:, start : start + PIECE], left[start : start + PIECE]
            size = np.sqrt(np.einsum("ij,ij->i", ours, ours))[:, None] * np.sqrt((theirs * theirs).sum(axis=0))
            count = len(theirs)
            error += count * np.abs(total) + (2 * count + 4) * size  # partial sums, products, and the sum of this piece
            total += ours @ theirs
            error += np.abs(total)
        return total, SAFETY * UNIT_ROUNDOFF * error
