"""The ridge problem of many blocks, built up one block after another, so that a longer one goes on from a shorter one.

    G_n = S + lamb I + C_1 A_1 C_1^T + ... + C_n A_n C_n^T,   B_n = C_1 A_1 (T_1 - C_1)^T + ... + C_n A_n (T_n - C_n)^T

Every sum is taken from left to right, and which factor is updated by what follows from the widths of the blocks alone:
so a beginning that was kept on a shelf and one computed now are the same bit for bit, and the result does not hang on
what the shelf happens to hold. Nothing is subtracted (no downdate): only beginnings are reused.

The factor of G_n is that of G_c, updated by the columns of the blocks after c: with G_c = L L^T,

    Q [R] = [L^T          ],   R^T R = G_c + X X^T = G_n,   X = [C_c+1 A_c+1^1/2 ... C_n A_n^1/2]   (d, k)
      [0]   [X^T          ]

a QR that knows of the triangle, 2 k d^2 operations (LAPACK tpqrt) where a new Cholesky takes d^3 / 3. `c` is the last
block at which the columns since the one before passed d / 8; there G_c is factorised anew.
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

NARROW = 8
"""An update pays up to d / 8 columns: at d = 2048 k = 16 takes less time than a new factor and 256 more
(docs/explanation/incremental.md)."""
LEAST = 1024
"""Below this d a new factorisation takes no longer than the update (768: 8 ms both)."""
AGREES = 1e-12
"""|(R^T R - G) v| / |G v| up to which an update is taken; beyond, G is factorised anew."""
WORTH = 1 << 31
"""Operations that are kept on a shelf; fewer are done again sooner than a file is read (about 0.1 s)."""
LAYOUT = "chain 1"
"""Goes into every key: to be changed with what is computed."""


class ArrayCache(Protocol):
    """Arrays kept under a key that says all they were computed from; what `ports.Cache` is."""

    def get(self, key: str) -> Mapping[str, Array] | None:
        """The arrays, bit for bit as they were put, or None."""

    def put(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Keeps the arrays, if it can."""


@dataclass(frozen=True)
class ReadOnlyCache:
    """Read-only view of a cache: `get` passes through, `put` does nothing. For sums that no later build begins with."""

    shelf: ArrayCache | None
    """The cache; None where there is none."""

    def get(self, key: str) -> Mapping[str, Array] | None:
        """That of the shelf."""
        return None if self.shelf is None else self.shelf.get(key)

    def put(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Link:
    """One block of the chain, as the solver sees it."""

    keys: Array
    """C (d, m)."""
    targets: Array
    """T (d, m), strength applied."""
    weights: Array
    """The diagonal of A, (m,), each at least 0."""

    @property
    def columns(self) -> Array:
        """X = C A^1/2, (d, m)."""
        return np.asarray(self.keys * np.sqrt(self.weights))

    @property
    def gram(self) -> Array:
        """C A C^T, (d, d)."""
        scaled = self.columns
        return np.asarray(scaled @ scaled.T)

    @property
    def aim(self) -> Array:
        """C A (T - C)^T, (d, d)."""
        return np.asarray((self.keys * self.weights) @ (self.targets - self.keys).T)


@dataclass(frozen=True)
class Chain:
    """The ridge problem of all blocks in their order."""

    parts: tuple[Link, ...]
    """The blocks; a build that begins with the same ones reuses their sums."""
    moment: Array
    """S (d, d), the second moment of what is preserved."""
    lamb: float
    """The ridge, at least 0."""
    shelf: ArrayCache | None = None
    """Where sums and factors are kept; None keeps nothing, and the result is the same."""

    @property
    def width(self) -> int:
        """m, the columns of all blocks."""
        return sum(len(part.weights) for part in self.parts)

    @property
    def aim(self) -> Array:
        """B_n, (d, d)."""
        return self._sum(len(self.parts), "aim", self._aim_marks, lambda part: part.aim)

    def factor(self) -> ridge.Factor:
        """The Cholesky factor of G_n; raises SingularError, NonFiniteError."""
        at = self.checkpoint()
        grams = self._sum(at, "gram", self._gram_marks, lambda part: part.gram)
        head, tail = self._normal(grams), self.parts[at:]
        if not tail:
            return self._of(self._lower(head), head)
        normal = self._normal(_sum_onto(grams, (part.gram for part in tail)))
        lower = self._lower(head)
        if lower is not None:
            lower = grow(lower, np.hstack([part.columns for part in tail]))
        return self._of(lower if lower is not None and relative_error(lower, normal) <= AGREES else None, normal)

    def checkpoint(self) -> int:
        """c, of how many blocks the factor is that is updated: all of them where d is too small for that to pay."""
        most = len(self.moment) // NARROW if len(self.moment) >= LEAST else 0
        at = pending = 0
        for index, part in enumerate(self.parts):
            pending += len(part.weights)
            if pending > most:
                at, pending = index + 1, 0
        return at

    def _normal(self, grams: Array) -> Array:
        normal = grams + (self.moment + self.moment.T) / 2
        normal[np.diag_indices_from(normal)] += self.lamb
        return np.asarray(normal)

    def _of(self, lower: Array | None, normal: Array) -> ridge.Factor:
        return ridge.factorise(normal) if lower is None else ridge.measure_condition(lower, normal)

    def _lower(self, normal: Array) -> Array | None:
        """The factor of G_c; None where it has none, which G_n may have all the same."""
        ridge.require_finite("the normal matrix", normal)
        if self.shelf is None or len(normal) ** 3 // 3 < WORTH:
            return ridge.lower_of(normal)
        key = f"{LAYOUT} lower {sha256(normal.tobytes()).hexdigest()}"
        found = self.shelf.get(key)
        if found is not None:
            return np.asfortranarray(found["it"])
        lower = ridge.lower_of(normal)
        if lower is not None:
            self.shelf.put(key, {"it": lower})
        return lower

    def _sum(self, count: int, what: str, marks: Callable[[], Sequence[str]], of: Callable[[Link], Array]) -> Array:
        """The sum over the first `count` blocks: the longest beginning that is kept, then the others one by one."""
        nothing = np.zeros(self.moment.shape)
        if self.shelf is None or self.width * len(nothing) ** 2 < WORTH:
            return _sum_onto(nothing, map(of, self.parts[:count]))
        keys = [f"{LAYOUT} {what} {mark}" for mark in marks()[:count]]
        start, total = next(self._find_sums(keys), (0, nothing))
        total = _sum_onto(total, map(of, self.parts[start:count]))
        if start < count:
            self.shelf.put(keys[-1], {"it": total})
        return total

    def _find_sums(self, keys: Sequence[str]) -> Iterator[tuple[int, Array]]:
        """The beginnings that are kept, with their lengths, the longest first."""
        for count in range(len(keys), 0, -1):
            found = None if self.shelf is None else self.shelf.get(keys[count - 1])
            if found is not None:
                yield count, np.ascontiguousarray(found["it"])

    def _gram_marks(self) -> list[str]:
        """Of each beginning a hash of its keys and weights."""
        return _marks([(part.keys, part.weights) for part in self.parts])

    def _aim_marks(self) -> list[str]:
        return _marks([(part.targets,) for part in self.parts], self._gram_marks())


def solve(
    parts: Sequence[Link], moment: Array, lamb: float, per_key: bool = False, shelf: ArrayCache | None = None
) -> ridge.Multiplier:
    """`ridge.solve` of the blocks side by side, with what `shelf` holds of it; the same minimiser, to rounding.

    moment (d, d) positive semidefinite; lamb >= 0; `per_key` as there. Raises SingularError, NonFiniteError.
    """
    ridge.require_finite("the keys or targets", *(array for p in parts for array in (p.keys, p.targets, p.weights)))
    chain = Chain(tuple(parts), moment, lamb, shelf)
    factor = chain.factor()
    whole = chain.width > len(moment) and not per_key
    aim = chain.aim if whole else np.hstack([part.keys * part.weights for part in parts])
    left = np.eye(len(moment)) if whole else np.hstack([part.targets - part.keys for part in parts])
    right = factor.solve(aim)
    return ridge.Multiplier(left, right.T, factor, ridge.residual(factor, right, aim))


def grow(lower: Array, columns: Array) -> Array:
    """The Cholesky factor of lower lower^T + columns columns^T; lower (d, d), columns (d, k), any k."""
    from scipy.linalg.lapack import dtpqrt

    upper, *_, failed = dtpqrt(0, min(32, len(lower)), np.asfortranarray(lower.T), np.asfortranarray(columns.T))
    if failed:
        raise ValueError(f"tpqrt refuses argument {-failed}")
    return np.asfortranarray((np.triu(upper) * np.where(np.diag(upper) < 0, -1.0, 1.0)[:, None]).T)


def relative_error(lower: Array, normal: Array) -> float:
    """|(lower lower^T - normal) v| / |normal v| over four fixed random vectors: how far the factor is off."""
    probes = np.random.Generator(np.random.PCG64(0)).normal(size=(len(normal), 4))
    right = normal @ probes
    return float(np.linalg.norm(lower @ (lower.T @ probes) - right) / np.linalg.norm(right))


def _sum_onto(total: Array, terms: Iterable[Array]) -> Array:
    """total + term + term + ..., from left to right."""
    return reduce(add, terms, total)


def _marks(arrays: Sequence[Sequence[Array]], others: Sequence[str] = ()) -> list[str]:
    """A hash of each beginning: of the one before it, its last arrays, and `others` of it."""
    found = [""]
    for index, block in enumerate(arrays):
        found.append(mark(f"{found[-1]} {others[index] if others else ''}", *block))
    return found[1:]


def mark(before: str, *arrays: Array) -> str:
    """sha256 over `before` and the arrays with their shapes, and layouts: by these BLAS may round differently."""
    told = sha256(before.encode())
    for array in arrays:
        told.update(f" {array.shape} {array.flags.c_contiguous} {array.flags.f_contiguous} ".encode())
        told.update(np.ascontiguousarray(array).data)
    return told.hexdigest()
