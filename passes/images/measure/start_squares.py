"""|W Y|^2 of each layer for the offsets Y = C - T of requests: figures of the base, but new with each edit.

They are measured in verify's pass over the weights. Y is split by orthonormal columns Z (`SplitOffsets`), so that

    |W Y|^2 = |W Y Z|^2 + <W^T W, E>     E = Y (I - Z Z^T) Y^T

Z spans where Y is largest. The first term then has nearly the whole sum; it and the diagonal of W^T W are formed in
float64, and the rest of W^T W in float32, in half the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.storage.caching import cache_key
from editc.numerics.chain import ArrayCache, hash_arrays
from editc.numerics.squares import dot_halves

Single = NDArray[np.float32]

LEADING = 64
"""Columns of Z at most. Measured on six layers of the edit of docs/measurements/scale.md: with 64, E has 0.6 % of
Y Y^T, and sums are within 3e-11 of those in float64; with 16, 2.5 % and 8e-11."""
ROUNDS = 2
"""Products with Y^T Y that turn Z to where Y is largest. Chosen by hand."""
VERSION = "start squares 1"
"""Part of every cache key. Change it whenever the computation changes."""


@dataclass(frozen=True, eq=False)
class SplitOffsets:
    """The offsets of one request, split."""

    leading: Array
    """Y Z (d, r)."""
    diagonal: Array
    """(d,): the diagonal of E."""
    below: Single | None
    """(d, d): twice what E has below its diagonal, with zeros elsewhere. None where Z leaves nothing of Y."""

    @staticmethod
    def of(offsets: Array) -> SplitOffsets:
        """Split the offsets Y (d, k)."""
        width, count = offsets.shape
        if count <= LEADING:
            return SplitOffsets(offsets, np.zeros(width), None)
        basis = np.random.default_rng(0).standard_normal((count, LEADING))
        for _ in range(ROUNDS):
            basis = np.linalg.qr(offsets.T @ (offsets @ basis))[0]
        leading = offsets @ basis
        rest = offsets - leading @ basis.T
        left_over = rest @ rest.T
        below = (2.0 * np.tril(left_over, -1)).astype(np.float32)
        return SplitOffsets(leading, np.diagonal(left_over).copy(), below)

    def square(self, W: Array, half: Single | None) -> float:
        """Return |W Y|^2 for W (d_out, d), whose W^T W has the lower half `half` (d, d)."""
        found = float(np.linalg.norm(W @ self.leading)) ** 2
        if self.below is None or half is None:
            return found
        return found + float(np.einsum("ij,ij->j", W, W) @ self.diagonal) + dot_halves(half, self.below)


@dataclass(frozen=True, eq=False)
class StartSquares:
    """|W Y|^2 for the offsets of all requests, from the cache or measured layer by layer."""

    squares: Array
    """(requests, sites); NaN where it is not known yet."""
    parts: Sequence[SplitOffsets]
    """The offsets of each request, split. () where all squares were in the cache."""
    cache: ArrayCache | None
    """Where the squares go once all layers are measured."""
    key: str
    """Their key in the cache."""

    @staticmethod
    def of(starts: Sequence[Array], sites: int, weights: str, cache: ArrayCache | None) -> StartSquares:
        """Prepare the offsets `starts`, (d, k) each, for layers whose hash is `weights`, '' where nobody knows it."""
        store = cache if weights else None
        key = cache_key(VERSION, weights, hash_arrays("", *starts)) if store is not None else ""
        found = store.get(key, ["squares"]) if store is not None else None
        if found is not None:
            return StartSquares(found["squares"], (), None, key)
        return StartSquares(np.full((len(starts), sites), np.nan), [*map(SplitOffsets.of, starts)], store, key)

    def at(self, site: int, W: Array, singles: Single) -> Array:
        """Return the squares (requests,) of layer number `site`, W (d_out, d), which `singles` has in float32."""
        if self.parts:
            half = _half_gram(singles) if any(part.below is not None for part in self.parts) else None
            self.squares[:, site] = [part.square(W, half) for part in self.parts]
            if self.cache is not None and not np.isnan(self.squares).any():
                self.cache.put(self.key, {"squares": self.squares}, "figures of weights")
        return np.asarray(self.squares[:, site])


def _half_gram(singles: Single) -> Single:
    """Return the lower half of W^T W (d, d), with zeros above, for W (d_out, d)."""
    from scipy.linalg.blas import ssyrk

    return np.asarray(ssyrk(1.0, singles.T).T)
