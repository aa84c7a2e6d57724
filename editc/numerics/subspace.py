"""Low-rank products: composing multipliers, and the best approximation of a given rank in the problem's own metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.ridge import Factor

Array: TypeAlias = NDArray[np.float64]


def compose(left: Array, right: Array, next_left: Array, next_right: Array) -> tuple[Array, Array]:
    """(I + left right)(I + next_left next_right) - I as factors: ranks add."""
    moved = next_left + left @ (right @ next_left)
    return np.hstack([left, moved]), np.vstack([right, next_right])


def condense(columns: Array) -> Array:
    """(d, n) -> (d, at most d) with |X columns| = |X result| for every X: where n > d, the triangle of a QR."""
    if columns.shape[1] <= columns.shape[0]:
        return columns
    return np.asarray(np.linalg.qr(columns.T, mode="r")).T


@dataclass(frozen=True)
class Reduced:
    """A product of factors at a lower rank r."""

    mix: Array
    """(m, r): the new left factor is left mix."""
    right: Array
    """(r, d): the new right factor."""
    discarded: float
    """The share of the edit that is lost, in its metric."""


def reduce(right: Array, gram: Array, factor: Factor, tolerance: float, most: int | None = None) -> Reduced:
    """The product `left right` at the least rank whose loss is at most `tolerance`, and at most `most`.

    right (m, d); gram (m, m) = sum_l left_l^T left_l over every site, so left itself is not needed; G = `factor`.
    The loss of rank r is sum_l |(D_l - D_l,r) G^1/2|^2, relative to the whole and under the root: with the G of the
    ridge problem its objective grows by exactly that, so among all edits of rank r this one is the best
    (reduced-rank regression, Izenman 1975).
    """
    basis, triangle = np.linalg.qr(factor.lower.T @ right.T)
    _, values, rows = np.linalg.svd(root(gram) @ triangle.T, full_matrices=False)
    rank = rank_for(values, tolerance, most)
    kept = rows[:rank].T
    return Reduced(triangle.T @ kept, factor.half(basis @ kept).T, loss(values, rank))


def rank_for(values: Array, tolerance: float, most: int | None = None) -> int:
    """The least r with |values[r:]| <= tolerance |values|, at most `most`; singular values in falling order."""
    tails = np.sqrt(np.cumsum(values[::-1] ** 2))[::-1]
    total = tails[0] if len(tails) else 0.0
    rank = int(np.count_nonzero(tails > tolerance * total)) if total > 0 else 0
    return rank if most is None else min(rank, most)


def loss(values: Array, rank: int) -> float:
    """|values[rank:]| / |values|, zero for nothing."""
    total = float(np.linalg.norm(values))
    return float(np.linalg.norm(values[rank:])) / total if total else 0.0


def root(gram: Array) -> Array:
    """R (d, d) with R^T R = gram; gram may be singular, so by eigenvalues."""
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    return np.asarray(np.sqrt(np.clip(values, 0.0, None))[:, None] * vectors.T)


def cosines(first: Array, second: Array) -> Array:
    """Cosines of the principal angles between the row spaces of (r, d) and (s, d), in falling order; as many as the
    lower of the two ranks. By orthonormal bases and the singular values of their product (Bjorck and Golub 1973)."""
    return np.clip(np.linalg.svd(_basis(first) @ _basis(second).T, compute_uv=False), 0.0, 1.0)


def _basis(rows: Array) -> Array:
    """Orthonormal rows that span those of (r, d); what a float32 cannot tell from a dependent row counts as one."""
    _, values, basis = np.linalg.svd(rows, full_matrices=False)
    floor = values[0] * max(rows.shape) * float(np.finfo(np.float32).eps) if len(values) else 0.0
    return np.asarray(basis[values > floor])
