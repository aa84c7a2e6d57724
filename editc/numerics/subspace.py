"""Work with low-rank products: compose multipliers, and reduce a product to a lower rank with the least loss."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.chain import LEAST_OPERATIONS, ArrayCache, hash_arrays
from editc.numerics.ridge import Factor

Array: TypeAlias = NDArray[np.float64]

EIGEN_OPERATIONS = 9
"""Operations of an eigendecomposition of width d, in d^3 (LAPACK Users' Guide, section 3.4.4: all vectors)."""
ROOT_VERSION, REDUCED_VERSION = "root 1", "reduced 1"
"""Parts of cache keys. Change them whenever `square_root` and `reduce` change."""


def compose(left: Array, right: Array, next_left: Array, next_right: Array) -> tuple[Array, Array]:
    """Return the factors of (I + left right)(I + next_left next_right) - I. Their rank is the sum of both ranks.

    Left factors are (d, r), right factors (r, d).
    """
    moved = next_left + left @ (right @ next_left)
    return np.hstack([left, moved]), np.vstack([right, next_right])


def condense(columns: Array) -> Array:
    """Return at most d columns (d, k) with |X columns| = |X result| for every X, for `columns` (d, n).

    For n > d they are the triangle of a QR; otherwise the columns are returned as they are.
    """
    if columns.shape[1] <= columns.shape[0]:
        return columns
    return np.asarray(np.linalg.qr(columns.T, mode="r")).T


@dataclass(frozen=True)
class ReducedProduct:
    """A product left right, reduced to a lower rank r."""

    mix: Array
    """(m, r). The new left factor is `left mix`."""
    right: Array
    """(r, d). The new right factor."""
    discarded: float
    """The share of the edit that is lost, 0 to 1, in the metric that `reduce` describes."""


def reduce(right: Array, root: Array, factor: Factor, tolerance: float, most: int | None = None) -> ReducedProduct:
    """Reduce the product `left right` to the least rank whose loss is at most `tolerance`, and to at most rank `most`.

    right is (m, d). root (m, m) is the `square_root` of sum_l left_l^T left_l over all sites, so left itself is not
    needed. `factor` is the factor of G. The loss at rank r is the square root of sum_l |(D_l - D_l,r) G^1/2|^2,
    relative to the same for the whole edit. With the G of the ridge problem, its objective grows by exactly that sum.
    So this edit is the best of all edits of rank r (reduced-rank regression, Izenman 1975).
    """
    basis, triangle = np.linalg.qr(factor.lower.T @ right.T)
    _, values, rows = np.linalg.svd(root @ triangle.T, full_matrices=False)
    rank = rank_for(values, tolerance, most)
    leading = rows[:rank].T
    short = np.ascontiguousarray(factor.solve_transposed(basis @ leading).T)
    return ReducedProduct(np.ascontiguousarray(triangle.T @ leading), short, loss(values, rank))


def cached_reduce(
    right: Array, root: Array, factor: Factor, tolerance: float, most: int | None, cache: ArrayCache | None
) -> ReducedProduct:
    """Return what `reduce` does, from the cache if it is there."""
    if cache is None or EIGEN_OPERATIONS * len(right) ** 3 < LEAST_OPERATIONS:
        return reduce(right, root, factor, tolerance, most)
    key = hash_arrays(f"{REDUCED_VERSION} {tolerance!r} {most}", right, root, factor.lower)
    found = cache.get(key, ["mix", "right", "discarded"])
    if found is None:
        made = reduce(right, root, factor, tolerance, most)
        found = {"mix": made.mix, "right": made.right, "discarded": np.array([made.discarded])}
        cache.put(key, found, "reduced edits")
    return ReducedProduct(found["mix"], found["right"], found["discarded"].item())


def rank_for(values: Array, tolerance: float, most: int | None = None) -> int:
    """Return the least r with |values[r:]| <= tolerance |values|, but at most `most`.

    `values` (k,) are singular values in falling order.
    """
    tails = np.sqrt(np.cumsum(values[::-1] ** 2))[::-1]
    total = tails[0] if len(tails) else 0.0
    rank = int(np.count_nonzero(tails > tolerance * total)) if total > 0 else 0
    return rank if most is None else min(rank, most)


def loss(values: Array, rank: int) -> float:
    """Return |values[rank:]| / |values|, the share that rank `rank` leaves out; 0 if all values (k,) are 0."""
    total = float(np.linalg.norm(values))
    return float(np.linalg.norm(values[rank:])) / total if total else 0.0


def square_root(gram: Array) -> Array:
    """Return R (d, d) with R^T R = gram, for a symmetric gram (d, d) that may be singular (by eigenvalues)."""
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    return np.asfortranarray(np.sqrt(np.clip(values, 0.0, None))[:, None] * vectors.T)


def cached_root(gram: Array, cache: ArrayCache | None) -> Array:
    """Return `square_root(gram)`, from the cache if it is there, for a gram (d, d) that does not depend on the edit."""
    if cache is None or EIGEN_OPERATIONS * len(gram) ** 3 < LEAST_OPERATIONS:
        return square_root(gram)
    key = f"{ROOT_VERSION} {sha256(np.ascontiguousarray(gram).data).hexdigest()}"
    found = cache.get(key, ["it"])
    if found is not None:
        return np.asfortranarray(found["it"])
    root = square_root(gram)
    cache.put(key, {"it": root}, "figures of weights")
    return root


def principal_cosines(first: Array, second: Array) -> Array:
    """Return the cosines of the principal angles between the row spaces of `first` (r, d) and `second` (s, d).

    They are in falling order, as many as the lower of the two ranks (Bjorck and Golub 1973).
    """
    return np.clip(np.linalg.svd(_orthonormal_rows(first) @ _orthonormal_rows(second).T, compute_uv=False), 0.0, 1.0)


def _orthonormal_rows(rows: Array) -> Array:
    """Return orthonormal rows (k, d) that span the rows (r, d).

    A row counts as dependent on the others if they differ by no more than float32 rounding.
    """
    _, values, basis = np.linalg.svd(rows, full_matrices=False)
    floor = values[0] * max(rows.shape) * float(np.finfo(np.float32).eps) if len(values) else 0.0
    return np.asarray(basis[values > floor])
