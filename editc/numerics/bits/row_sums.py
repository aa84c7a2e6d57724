"""Sum W left with a BLAS, and bound how far the sum in the fixed order of `arithmetic` may be from it.

    |fl(a b) - a b| <= gamma_n |a| |b|   for n terms in any order, gamma_n = n u / (1 - n u), u = 2^-53
                                         (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1)

An error is bounded by `size` (one number a row) times `columns` (one number a column). `WholeRows` takes every partial
sum for as large as it could be. Terms have signs, so partial sums are some sqrt(n) times smaller, and `Pieces` knows
them: it sums pieces of PIECE terms, and the sums between them say how large the partial sums of the fixed order are.

    |fl(sum x_k) - sum x_k| <= u (sum_k |x_k| + sum_k |s_k|)     s_k: the computed partial sums

Within a piece both terms are bounded by |W_r| |left_j| over the piece alone (Cauchy-Schwarz). Pieces take twice the
time and give a bound that is some 40 times closer, so they pay where float32 is wanted, whose numbers lie close.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

UNIT_ROUNDOFF = 2.0**-53
"""u, the unit roundoff of float64."""
PIECE = 48
"""Terms in a piece. Measured on the edit of docs/measurements/scale.md: with 32 and with 96, rounding an SDXL matrix
takes a tenth longer."""
SAFETY = 1.1
"""Bounds are a tenth larger than theory asks for, which covers the rounding of the bounds themselves."""
LAST_ROUNDINGS = 4
"""Roundings, each by u (|W_rc| + the product), after both products: of the sum with W on either side, and of that with
the bound."""


@dataclass(frozen=True)
class RowSums:
    """What the edit of some rows is the product of: value right."""

    value: Array
    """(rows, r): W left for the form `shared`; the left factor itself for `low-rank`."""
    size: Array
    """(rows,): the part of the error bound that depends on the row."""
    error: Array | None = None
    """(rows, r): how far `value` may be from the sum in the fixed order. None where pieces were not summed."""


class ErrorBound(Protocol):
    """Sums rows, with a bound on the error of the edited values: `size` of the row times `columns`."""

    @property
    def columns(self) -> Array:
        """(width,): the part of the error bound that depends on the column."""

    def sum_rows(self, W: Array, left: Array) -> RowSums:
        """Return the sums of rows W (rows, width), with left (width, r) for `shared`, (rows, r) for `low-rank`."""


@dataclass(frozen=True)
class WholeRows:
    """The bound from the lengths of whole rows."""

    shared: bool
    """True for the form `shared`."""
    columns: Array
    """(width,): the error for a row of length 1."""

    @classmethod
    def of(cls, shared: bool, left: Array, right: Array) -> WholeRows:
        """Make the bound of left (width, r) or (rows, r), right (r, width).

        For `shared`, the terms of both products add up to at most |W_r| q_c with q_c = sum_j |left_j| |right_jc|
        (Cauchy-Schwarz on each column of left). For `low-rank` they add up to at most |left_r| |right_c|. The two sums
        differ by 2 gamma of that, where gamma covers both lengths. Adding W and then e rounds twice more, each time by
        u (|W_rc| + the product).
        """
        with np.errstate(all="ignore"):
            if shared:
                reach, terms = _column_reach(left, right), sum(left.shape)
            else:
                reach, terms = np.sqrt((right * right).sum(axis=0)), len(right)
            return cls(shared, 2 * SAFETY * UNIT_ROUNDOFF * ((terms + 8) * reach + 2))

    def sum_rows(self, W: Array, left: Array) -> RowSums:
        """See `ErrorBound.sum_rows`."""
        size = np.sqrt(np.einsum("ij,ij->i", W, W))
        if self.shared:
            return RowSums(W @ left, size)
        return RowSums(left, size + np.sqrt(np.einsum("ij,ij->i", left, left)))


@dataclass(frozen=True)
class Pieces:
    """The closer bound for the form `shared`."""

    columns: Array
    """(width,): q_c, and `rest`."""
    rest: float
    """What is added to every q_c, for the roundings that do not depend on it."""
    lengths: Array
    """(r,): |left_j|."""

    @classmethod
    def of(cls, left: Array, right: Array) -> Pieces:
        """Make the bound of left (width, r), right (r, width)."""
        with np.errstate(all="ignore"):
            reach = _column_reach(left, right)
            rest = float(reach.max(initial=0.0)) / 8 or 1.0
            return cls(reach + rest, rest, np.sqrt((left * left).sum(axis=0)))

    def sum_rows(self, W: Array, left: Array) -> RowSums:
        """See `ErrorBound.sum_rows`.

        Errors of W left add up to at most max_j(error_rj / |left_j|) q_c, and those of the product with right to 2
        gamma_r max_j(|value_rj| / |left_j|) q_c.
        """
        value, error = sum_pieces(W, left)
        with np.errstate(all="ignore"):
            terms = 2 * (left.shape[1] + 2) + LAST_ROUNDINGS
            each = error + UNIT_ROUNDOFF * terms * np.abs(value)
            each = np.divide(each, self.lengths, out=np.zeros_like(each), where=each != 0)
            last = LAST_ROUNDINGS * UNIT_ROUNDOFF / self.rest * np.sqrt(np.einsum("ij,ij->i", W, W))
            return RowSums(value, SAFETY * np.maximum(each.max(axis=1, initial=0.0), last), error)


def sum_pieces(W: Array, left: Array) -> tuple[Array, Array]:
    """Return W left (rows, r), summed piece by piece, and how far the sum in the fixed order may be from it.

    Errors are: within pieces, of both sums and of the products; of the partial sums that a piece begins with; and of
    adding the pieces up.
    """
    total, passed, piece = (np.zeros((len(W), left.shape[1])) for _ in range(3))
    with np.errstate(all="ignore"):
        for start in range(0, W.shape[1], PIECE):
            np.matmul(W[:, start : start + PIECE], left[start : start + PIECE], out=piece)
            np.add(total, piece, out=total)
            np.add(passed, np.abs(total, out=piece), out=passed)
        within = _piece_lengths(W) @ _piece_lengths(left.T).T
        return total, SAFETY * UNIT_ROUNDOFF * ((PIECE + 1) * passed + (2 * PIECE + 4) * within)


def _piece_lengths(rows: Array) -> Array:
    """Return the length of each piece of the rows (n, width), (n, pieces)."""
    starts = np.arange(0, rows.shape[1], PIECE)
    return np.asarray(np.sqrt(np.add.reduceat(rows * rows, starts, axis=1)))


def _column_reach(left: Array, right: Array) -> Array:
    """Return q_c = sum_j |left_j| |right_jc|, (width,)."""
    return np.asarray(np.sqrt((left * left).sum(axis=0)) @ np.abs(right))
