"""Solve the ridge problem of many blocks block by block, so that a build with one more block reuses the earlier sums.

    G_n = S + lamb I + C_1 A_1 C_1^T + ... + C_n A_n C_n^T,   B_n = C_1 A_1 (T_1 - C_1)^T + ... + C_n A_n (T_n - C_n)^T

One block holds the keys of one edit. Every sum runs from left to right, so a sum over the first blocks has the same
bits whether it was just computed or read from the cache. The solution therefore does not depend on what the cache
holds. Only sums over the first blocks are reused; nothing is ever subtracted from a sum.

A block is a checkpoint if more than d / UPDATE_DIVISOR columns have come since the checkpoint before it. A wide block
is always one; aligned keys, the default, have thousands of columns. Below LEAST_WIDTH every block is a checkpoint. The
Cholesky factor of G_n comes about in one of two ways:

* From the sums alone, if the last block is a checkpoint: G_n is summed up and factorised.
* By an update, if narrow blocks follow the last checkpoint c: G_c = L L^T is factorised (or its factor is read from the
  cache) and then updated by the columns of these blocks:

      Q [R] = [L^T          ],   R^T R = G_c + X X^T = G_n,   X = [C_c+1 A_c+1^1/2 ... C_n A_n^1/2]   (d, k)
        [0]   [X^T          ]

  This is a QR that uses the triangular shape: 2 k d^2 operations (LAPACK tpqrt); a new factorisation takes d^3 / 3.
  If G_c has no factor, or the updated factor is not accurate enough, G_n is factorised from the sums.

The update hardly saves time (docs/explanation/incremental.md). It stays because the way in which a factor is computed
decides the last bits of a delta: without it, edits with narrow keys would get other bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from operator import add
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics import ridge

Array: TypeAlias = NDArray[np.float64]

UPDATE_DIVISOR = 8
"""A factor is updated by at most d / 8 columns. Measured at d = 2048: an update by 16 columns is faster than a new
factor, one by 256 columns is slower (docs/explanation/incremental.md)."""
LEAST_WIDTH = 1024
"""The least d at which a factor is updated. Measured at d = 768: a new factor takes no longer (8 ms each)."""
UPDATE_TOLERANCE = 1e-12
"""An updated factor is used if `relative_error` is at most this; else G_n is factorised. Chosen by hand, above the
rounding of float64 and below the 1e-10 to which tests hold the solution."""
LEAST_OPERATIONS = 1 << 31
"""Results of at least this many operations go into the cache. Fewer operations take less time than reading a file does:
about 0.1 s."""
KEY_VERSION = "chain 1"
"""Part of every cache key. Change it whenever the computation changes."""


class ArrayCache(Protocol):
    """Where named arrays are kept between builds. A key identifies everything that its arrays were computed from.

    `editc.core.ports.Cache` has the same methods.
    """

    def get(self, key: str, names: Iterable[str] = ()) -> Mapping[str, Array] | None:
        """Return the arrays under `key`, bit for bit as they were put, or None if there are none, or none of one of
        `names`."""

    def put(self, key: str, arrays: Mapping[str, Array], kind: str = "") -> None:
        """Store the arrays under `key` if possible; do nothing if not. `kind` says in plain words what they are."""


@dataclass(frozen=True)
class ReadOnlyCache:
    """Read-only view of a cache: `get` passes through, `put` does nothing. For sums that no later build begins with."""

    cache: ArrayCache | None
    """The cache to read from; None if there is none."""

    def get(self, key: str, names: Iterable[str] = ()) -> Mapping[str, Array] | None:
        """Return the arrays under `key`, or None if there are none or there is no cache."""
        return None if self.cache is None else self.cache.get(key, names)

    def put(self, key: str, arrays: Mapping[str, Array], kind: str = "") -> None:
        """Do nothing."""


@dataclass(frozen=True)
class WeightedBlock:
    """The keys of one edit with their targets and weights, as the solver takes them."""

    keys: Array
    """C (d, m), one key a column."""
    targets: Array
    """T (d, m), one target a column. The strength of the edit is applied already."""
    weights: Array
    """The diagonal of A, (m,). Each weight is at least 0."""

    @property
    def columns(self) -> Array:
        """The weighted keys X = C A^1/2, (d, m)."""
        return np.asarray(self.keys * np.sqrt(self.weights))

    @property
    def gram(self) -> Array:
        """What the block adds to G: C A C^T, (d, d)."""
        scaled = self.columns
        return np.asarray(scaled @ scaled.T)

    @property
    def right_side(self) -> Array:
        """What the block adds to B: C A (T - C)^T, (d, d)."""
        return np.asarray((self.keys * self.weights) @ (self.targets - self.keys).T)


@dataclass(frozen=True)
class Chain:
    """The ridge problem of several blocks in a fixed order."""

    parts: tuple[WeightedBlock, ...]
    """The blocks. A build that begins with the same blocks reuses their sums."""
    moment: Array
    """S (d, d), the second moment of what is preserved."""
    lamb: float
    """The ridge, at least 0."""
    cache: ArrayCache | None = None
    """Where sums and factors are kept. None: nothing is kept. The result is the same either way."""

    @property
    def width(self) -> int:
        """How many columns all blocks have together."""
        return sum(len(part.weights) for part in self.parts)

    @property
    def right_side(self) -> Array:
        """The right-hand side B_n, (d, d)."""
        return self._load_or_sum(len(self.parts), "aim", self._right_side_hashes, lambda part: part.right_side)

    def factor(self) -> ridge.Factor:
        """Return the Cholesky factor of G_n, by one of the two ways of the module's text.

        Raises SingularError if G_n is not positive definite or is too badly conditioned, NonFiniteError if an entry of
        G_n is NaN or infinite.
        """
        count = self.checkpoint()
        grams = self._load_or_sum(count, "gram", self._gram_hashes, lambda part: part.gram)
        head, tail = self._normal_matrix(grams), self.parts[count:]
        if not tail:
            return self._finish_factor(self._load_or_factorise(head), head)
        normal = self._normal_matrix(_sum_onto(grams, (part.gram for part in tail)))
        lower = self._load_or_factorise(head)
        if lower is not None:
            lower = update_factor(lower, np.hstack([part.columns for part in tail]))
        return self._finish_factor(
            lower if lower is not None and relative_error(lower, normal) <= UPDATE_TOLERANCE else None, normal
        )

    def checkpoint(self) -> int:
        """Return c: the factor of the first c blocks is computed, and then updated by the blocks after them.

        c is the number of all blocks if no factor is updated.
        """
        most = len(self.moment) // UPDATE_DIVISOR if len(self.moment) >= LEAST_WIDTH else 0
        at = pending = 0
        for index, part in enumerate(self.parts):
            pending += len(part.weights)
            if pending > most:
                at, pending = index + 1, 0
        return at

    def _normal_matrix(self, grams: Array) -> Array:
        """`grams` (d, d) + S + lamb I."""
        normal = grams + (self.moment + self.moment.T) / 2
        normal[np.diag_indices_from(normal)] += self.lamb
        return np.asarray(normal)

    def _finish_factor(self, lower: Array | None, normal: Array) -> ridge.Factor:
        """Add the condition to the factor `lower` (d, d) of `normal` (d, d). None: factorise `normal` first."""
        return ridge.factorise(normal) if lower is None else ridge.measure_condition(lower, normal)

    def _load_or_factorise(self, normal: Array) -> Array | None:
        """Return the factor (d, d) of G_c, from the cache if it is there; None if G_c is not positive definite.

        G_n may have a factor all the same.
        """
        ridge.require_finite("the normal matrix", normal)
        if self.cache is None or len(normal) ** 3 // 3 < LEAST_OPERATIONS:
            return ridge.cholesky(normal)
        key = f"{KEY_VERSION} lower {sha256(normal.tobytes()).hexdigest()}"
        found = self.cache.get(key, ["it"])
        if found is not None:
            return np.asfortranarray(found["it"])
        lower = ridge.cholesky(normal)
        if lower is not None:
            self.cache.put(key, {"it": lower}, "Cholesky factors")
        return lower

    def _load_or_sum(
        self, count: int, what: str, hashes: Callable[[], Sequence[str]], of: Callable[[WeightedBlock], Array]
    ) -> Array:
        """Return the sum (d, d) of `of(block)` over the first `count` blocks.

        Start from the longest sum over first blocks that the cache has, and add the other blocks one by one. `hashes`
        gives one hash for each number of first blocks; `what` names the sum in the cache key.
        """
        nothing = np.zeros(self.moment.shape)
        if self.cache is None or self.width * len(nothing) ** 2 < LEAST_OPERATIONS:
            return _sum_onto(nothing, map(of, self.parts[:count]))
        keys = [f"{KEY_VERSION} {what} {digest}" for digest in hashes()[:count]]
        start, total = next(self._load_sums(keys), (0, nothing))
        total = _sum_onto(total, map(of, self.parts[start:count]))
        if start < count:
            self.cache.put(keys[-1], {"it": total}, "sums over edited names")
        return total

    def _load_sums(self, keys: Sequence[str]) -> Iterator[tuple[int, Array]]:
        """Yield (number of first blocks, their sum) for each of `keys` that the cache has, the longest sum first."""
        for count in range(len(keys), 0, -1):
            found = None if self.cache is None else self.cache.get(keys[count - 1], ["it"])
            if found is not None:
                yield count, np.ascontiguousarray(found["it"])

    def _gram_hashes(self) -> list[str]:
        """For each number of first blocks, a hash of their keys and weights."""
        return _hash_beginnings([(part.keys, part.weights) for part in self.parts])

    def _right_side_hashes(self) -> list[str]:
        """For each number of first blocks, a hash of their keys, weights and targets."""
        return _hash_beginnings([(part.targets,) for part in self.parts], self._gram_hashes())


def solve(
    parts: Sequence[WeightedBlock], moment: Array, lamb: float, per_key: bool = False, cache: ArrayCache | None = None
) -> ridge.Multiplier:
    """Solve the ridge problem of all blocks, like `ridge.solve` of the blocks side by side; reuse sums from `cache`.

    The result is that of `ridge.solve` up to rounding. moment (d, d) is positive semidefinite, lamb >= 0, `per_key` is
    that of `ridge.solve`. Raises SingularError and NonFiniteError as `Chain.factor` does.
    """
    ridge.require_finite("the keys or targets", *(array for p in parts for array in (p.keys, p.targets, p.weights)))
    chain = Chain(tuple(parts), moment, lamb, cache)
    factor = chain.factor()
    whole = chain.width > len(moment) and not per_key
    right_side = chain.right_side if whole else np.hstack([part.keys * part.weights for part in parts])
    left = np.eye(len(moment)) if whole else np.hstack([part.targets - part.keys for part in parts])
    right = factor.solve(right_side)
    return ridge.Multiplier(left, right.T, factor, ridge.residual(factor, right, right_side))


def update_factor(lower: Array, columns: Array) -> Array:
    """Return the Cholesky factor (d, d) of lower lower^T + columns columns^T, for lower (d, d) and columns (d, k)."""
    from scipy.linalg.lapack import dtpqrt

    upper, *_, failed = dtpqrt(0, min(32, len(lower)), np.asfortranarray(lower.T), np.asfortranarray(columns.T))
    if failed:
        raise ValueError(f"tpqrt refuses argument {-failed}")
    return np.asfortranarray((np.triu(upper) * np.where(np.diag(upper) < 0, -1.0, 1.0)[:, None]).T)


def relative_error(lower: Array, normal: Array) -> float:
    """Measure how far the factor `lower` (d, d) is off the matrix `normal` (d, d).

    It is |(lower lower^T - normal) V| / |normal V| for four fixed random vectors V (d, 4).
    """
    probes = np.random.Generator(np.random.PCG64(0)).normal(size=(len(normal), 4))
    right = normal @ probes
    return float(np.linalg.norm(lower @ (lower.T @ probes) - right) / np.linalg.norm(right))


def _sum_onto(total: Array, terms: Iterable[Array]) -> Array:
    """total + term + term + ..., from left to right."""
    return reduce(add, terms, total)


def _hash_beginnings(arrays: Sequence[Sequence[Array]], others: Sequence[str] = ()) -> list[str]:
    """Return one hash for each number of first blocks; each includes the hash before it.

    `arrays` has the arrays of each block, `others` a further hash for each block if it is not empty.
    """
    found = [""]
    for index, block in enumerate(arrays):
        found.append(hash_arrays(f"{found[-1]} {others[index] if others else ''}", *block))
    return found[1:]


def hash_arrays(before: str, *arrays: Array) -> str:
    """Return the sha256 of `before` and the arrays, with their shapes and memory layouts.

    The layout counts because a BLAS may round differently for another one.
    """
    digest = sha256(before.encode())
    for array in arrays:
        digest.update(f" {array.shape} {array.flags.c_contiguous} {array.flags.f_contiguous} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
