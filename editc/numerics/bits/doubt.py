"""Settle the elements that `rounded` doubts: by a bound on each, and what is then left in the fixed order.

The bound that serves all elements is a number for the row times a number for the column. For a few elements the error
of each term of the second product is worth adding up: W left is summed in pieces (`row_sums`), which say how far each
of its sums may be off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.bits import dtypes
from editc.numerics.bits.arithmetic import product
from editc.numerics.bits.row_sums import LAST_ROUNDINGS, SAFETY, UNIT_ROUNDOFF, sum_pieces

Array: TypeAlias = NDArray[np.float64]
Real: TypeAlias = NDArray[np.floating]
Places: TypeAlias = NDArray[np.intp]
Bits: TypeAlias = NDArray[np.unsignedinteger]

_FEW_TERMS = 1 << 22
"""Terms that numpy sums as fast as scipy is loaded. Chosen by hand: 10 ms."""


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
    pieces: tuple[Array, Array] | None = None
    """(rows, r) each: W left as `sum_pieces` returns it, with its errors. None where it is not known yet."""


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
    A = _sum_rows(doubts.W, doubts.left) if doubts.shared else np.asarray(doubts.left, np.float64)
    right = np.asarray(doubts.right, np.float64)
    total = np.zeros(len(doubts.row))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for j in range(A.shape[1]):
            total += A[doubts.row, j] * right[j, doubts.column]
        return np.asarray(doubts.W[doubts.row, doubts.column] + total)


def _sum_rows(W: Array, left: Real) -> Array:
    """Return W left (n, r) in the fixed order.

    Where both have numbers of float32 or narrower, products of two are exact in float64. A BLAS that adds one of them
    to a sum then gives the bits of `product`, whether it fuses the two operations or not, in a fifth of the time.
    """
    n, r = len(W), left.shape[1]
    if W.size * r < _FEW_TERMS or not (_are_singles(W) and _are_singles(left)):
        return product(W, left)
    from scipy.linalg.blas import dger

    total, columns, rows = (
        np.zeros((r, n), order="F"),
        np.ascontiguousarray(W.T),
        np.ascontiguousarray(left, np.float64),
    )
    for column, row in zip(columns, rows, strict=True):
        total = dger(1.0, row, column, a=total, overwrite_a=True)
    return np.asarray(total.T)


def _are_singles(part: Real) -> bool:
    """Say whether all numbers of `part` are finite numbers of float32. Beside others it matters that a BLAS may skip
    zeros."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return bool(np.isfinite(part).all() and np.array_equal(part.astype(np.float32), part))


def _ends(doubts: Doubts) -> tuple[Array, Array]:
    """Return two numbers (n,), (n,) between which each element lies, summed in the fixed order."""
    A, error = doubts.pieces or sum_pieces(doubts.W, np.asarray(doubts.left, np.float64))
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
        e = SAFETY * (far + UNIT_ROUNDOFF * (terms * reach + LAST_ROUNDINGS * (np.abs(W) + np.abs(value))))
        return W + value - e, W + value + e
