"""Sum W left, and bound how far the edited values may then be from those in the fixed order of `arithmetic`.

    |fl(a b) - a b| <= gamma_n |a| |b|   for n terms in any order, gamma_n = n u / (1 - n u), u = 2^-53
                                         (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1)

An error is bounded by `size` (one number a row) times `columns` (one number a column). `WholeRows` sums W left with a
BLAS and bounds the errors of both products. `InBlocks` sums some terms at a time, and what the sums are on the way
bounds the error of the next. Its bound is some 10 times closer and it takes twice as long, so it pays where float32 is
wanted, whose numbers lie close.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.bits.arithmetic import product

Array: TypeAlias = NDArray[np.float64]
Real: TypeAlias = NDArray[np.floating]
Places: TypeAlias = NDArray[np.intp]

UNIT_ROUNDOFF = 2.0**-53
"""u, the unit roundoff of float64."""
QUICK_ELEMENTS = 1 << 18
"""Elements of the rows that `WholeRows` sums together. Chosen by hand: at a width of 2048 these are 128 rows, of which
a BLAS sums each in half the time of 32. They take 2 MB in float64."""
BLOCK = 64
"""Terms that `InBlocks` sums at a time. Chosen by hand: half as many take a third longer, and leave a third fewer
elements in doubt."""
SAFETY = 1.1
"""Bounds are a tenth larger than theory asks for, which covers the rounding of the bounds themselves."""
LAST_ROUNDINGS = 4
"""Roundings, each by u (|W_rc| + the product), after both products: of the sum with W on either side, and of that with
the bound."""
_FEW_TERMS = 1 << 21
"""Terms that numpy sums in 5 ms. Chosen by hand: scipy takes longer to load, and half as long once it is loaded."""
_TURNED_ROWS = 32
"""Rows that are copied to columns at a time. Measured at a width of 2048: a quarter of the time of all at once."""


@dataclass(frozen=True)
class RowSums:
    """What the edit of some rows is the product of: value right."""

    value: Array
    """(rows, r): W left for the form `shared`; the left factor itself for `low-rank`."""
    size: Array
    """(rows,): the part of the error bound that depends on the row."""
    errors: Array | None = None
    """(rows, r): what bounds the error of each number of `value`, in units of u. None where only rows are bounded."""


def join_rows(parts: Sequence[RowSums]) -> RowSums:
    """Return the sums of the rows of all parts, one part after the other."""
    errors = [one.errors for one in parts if one.errors is not None]
    value, size = np.vstack([one.value for one in parts]), np.concatenate([one.size for one in parts])
    return RowSums(value, size, np.vstack(errors) if errors else None)


class ErrorBound(Protocol):
    """Sums rows, with a bound on the error of the edited values: `size` of the row times `columns`."""

    @property
    def columns(self) -> Array:
        """(width,): the part of the error bound that depends on the column."""

    @property
    def in_order(self) -> bool:
        """True where the sums have the bits of the fixed order."""

    def rows_together(self, width: int) -> int:
        """Return how many rows of `width` elements to sum together."""

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

    @property
    def in_order(self) -> bool:
        """True for `low-rank`, whose left factor needs no sum."""
        return not self.shared

    def rows_together(self, width: int) -> int:
        """See `ErrorBound.rows_together`."""
        return max(1, QUICK_ELEMENTS // width)

    def sum_rows(self, W: Array, left: Array) -> RowSums:
        """See `ErrorBound.sum_rows`."""
        size = np.sqrt(np.einsum("ij,ij->i", W, W))
        if self.shared:
            return RowSums(W @ left, size)
        return RowSums(left, size + np.sqrt(np.einsum("ij,ij->i", left, left)))


@dataclass(frozen=True)
class InBlocks:
    """The closer bound for the form `shared`, from the sums W left over blocks of m = BLOCK terms.

    Let t_b be the sum of block b, S_b that of the first b blocks, and s_k that of the first k terms of W_r left_j. The
    fixed order errs by at most u sum_k |s_k|. A part of a block and the rest of it add up to at most |W_rb| |left_jb|
    in size (Cauchy-Schwarz), and s_k is S_b-1 plus the one or S_b minus the other, so |s_k| <= (|S_b-1| + |S_b| +
    |W_rb| |left_jb|) / 2. A BLAS adds the terms of a block in some order, and whatever it has on the way is at most
    (|t_b| + |W_rb| |left_jb|) / 2. Then blocks are added one after the other. So both are apart by at most

        u ((m + 2) |W_r| |left_j| + m/2 sum_b |t_b| + (m + 1) sum_b |S_b|)

    with 2 for the products, up to terms in u^2, which SAFETY covers.
    """

    columns: Array
    """(width,): q_c, and `rest`."""
    rest: float
    """What is added to every q_c, for the roundings that do not depend on it."""
    lengths: Array
    """(r,): |left_j|."""
    in_order: bool = False
    """The sums are within the bound of those in the fixed order."""

    @classmethod
    def of(cls, left: Array, right: Array) -> InBlocks:
        """Make the bound of left (width, r), right (r, width)."""
        with np.errstate(all="ignore"):
            reach = _column_reach(left, right)
            rest = float(reach.max(initial=0.0)) / 8 or 1.0
            return cls(reach + rest, rest, np.sqrt((left * left).sum(axis=0)))

    def rows_together(self, width: int) -> int:
        """See `ErrorBound.rows_together`."""
        return max(1, QUICK_ELEMENTS // width)

    def sum_rows(self, W: Array, left: Array) -> RowSums:
        """See `ErrorBound.sum_rows`.

        Errors of the product with right add up to at most 2 gamma_r max_j(|value_rj| / |left_j|) q_c.
        """
        with np.errstate(all="ignore"):
            size = np.sqrt(np.einsum("ij,ij->i", W, W))
            value, errors = _sum_blocks(W, left)
            errors += (2 * (left.shape[1] + 2) + 2 * LAST_ROUNDINGS) * np.abs(value)
            errors += (BLOCK + 2) * size[:, None] * self.lengths
            each = np.divide(errors, self.lengths, out=np.zeros_like(errors), where=errors != 0)
            most = np.maximum(each.max(axis=1, initial=0.0), LAST_ROUNDINGS / self.rest * size)
            return RowSums(value, SAFETY * UNIT_ROUNDOFF * most, errors)


def bound_single_values(errors: Array, right: Array, row: Places, column: Places, value: Array) -> Array:
    """Return the bound on the error of some edited values (n,), which lie in these rows and columns (n,).

    `errors` (rows, r) are those of `RowSums`. |W_rc| is at most |value| and the product, whose part `errors` has.
    """
    with np.errstate(all="ignore"):
        reach = LAST_ROUNDINGS * np.abs(value)
        for j, each in enumerate(np.abs(right)):
            reach += errors[row, j] * each[column]
        return np.asarray(SAFETY * UNIT_ROUNDOFF * reach)


def _sum_blocks(W: Array, left: Array) -> tuple[Array, Array]:
    """Return W left (n, r), and m/2 sum_b |t_b| + (m + 1) sum_b |S_b| of `InBlocks`, (n, r)."""
    shape = len(W), left.shape[1]
    total, blockwise, along, part = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.empty(shape)
    for start in range(0, W.shape[1], BLOCK):
        np.matmul(W[:, start : start + BLOCK], left[start : start + BLOCK], out=part)
        np.add(total, part, out=total)
        np.add(blockwise, np.abs(part, out=part), out=blockwise)
        np.add(along, np.abs(total, out=part), out=along)
    return total, BLOCK / 2 * blockwise + (BLOCK + 1) * along


def sum_in_order(W: Array, left: Array, singles: bool | None = None) -> Array:
    """Return W left (n, r), each sum in the fixed order.

    Where both have finite numbers of float32 (`singles`; None: see whether they do), products of two are exact in
    float64. A BLAS that adds one of them to a sum then gives the bits of `product`, whether it fuses the two operations
    or not, in a fifth of the time.
    """
    n, r = len(W), left.shape[1]
    few = W.size * r < _FEW_TERMS
    if few or not (_are_singles(W) and _are_singles(left) if singles is None else singles):
        return product(W, left)
    from scipy.linalg.blas import dger

    total = np.zeros((n, r), order="F")
    for column, row in zip(_columns(W), np.ascontiguousarray(left), strict=True):
        total = dger(1.0, column, row, a=total, overwrite_a=True)
    return np.ascontiguousarray(total)


def _columns(W: Array) -> Array:
    """Return the columns of W (n, width) as rows (width, n)."""
    turned = np.empty(W.shape[::-1])
    for start in range(0, len(W), _TURNED_ROWS):
        turned[:, start : start + _TURNED_ROWS] = W[start : start + _TURNED_ROWS].T
    return turned


def _are_singles(part: Array) -> bool:
    """Say whether all numbers of `part` are finite numbers of float32. Beside others it matters that a BLAS may skip
    zeros."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return bool(np.isfinite(part).all() and np.array_equal(part.astype(np.float32), part))


def _column_reach(left: Array, right: Array) -> Array:
    """Return q_c = sum_j |left_j| |right_jc|, (width,)."""
    return np.asarray(np.sqrt((left * left).sum(axis=0)) @ np.abs(right))
