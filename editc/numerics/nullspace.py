"""The directions in which a weight may change while what is kept stands still, and the ridge problem within them.

Column convention. `basis` V (d, k) has orthonormal columns; a change D with D = D V V^T moves no row orthogonal to V.

    min over D = Y V^T  sum_i a_i |(W + D) c_i - W t_i|^2 + lamb |D|^2
    D = W (T - C) A C^T N,  N = V (V^T C A C^T V + lamb I)^-1 V^T

N is what G^-1 of `numerics.ridge` tends to as the weight of what is kept grows without bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.drift import ratio
from editc.numerics.ridge import (
    Factor,
    factorise,
    normal_matrix,
    require_finite,
    residual,
)

Array: TypeAlias = NDArray[np.float64]

NO_PART = 1e-5
"""Keys with at most this share of their energy in the free directions lie in what is kept for all that an edit can do.
On the demo model a concept with 3e-3 left loses 4 % of its residual, one with 3e-6 nothing that shows."""


HELD_ALREADY = 1e-8
"""A share of a key's norm that is far above float64's rounding, and below that of the float32 factors of a file."""


class NoRoomError(ArithmeticError):
    """What is kept spans all `width` directions, so that nothing may change."""

    def __init__(self, width: int) -> None:
        super().__init__(f"what is kept spans all {width} directions of the text encoder's rows: nothing may change")
        self.width = width


class NoPartError(ArithmeticError):
    """The keys of block `index` lie in what is kept, but for a trace, so that no change that is free can reach them."""

    def __init__(self, index: int) -> None:
        super().__init__(
            "all but a trace of the concept's keys lies in what is kept: no change that is left free reaches it"
        )
        self.index = index


@dataclass(frozen=True)
class Room:
    """The directions in which a change is free.

    A change D = D V V^T moves the preserved rows P by |D P| <= outside |D|_2 |P|, |D|_2 its largest singular value.
    """

    basis: Array
    """V (d, k), orthonormal columns."""
    outside: float
    """The share of |P| that lies in the free directions: 0 where all of P is held exactly."""


def orthogonal_room(width: int, tolerance: float, *rows: Array) -> Room:
    """Everything in `width` d that is orthogonal to the columns of `rows` (d, n_i), which it takes together.

    Rank rule: the d - k left singular vectors whose singular value is above `tolerance` times the largest are held.
    Through the triangles of QR, so neither are the columns squared nor is anything of size n formed.
    """
    require_finite("what is kept", *rows)
    triangles = [np.linalg.qr(part.T, mode="r") for part in rows if part.size]
    if not triangles:
        return Room(np.eye(width), 0.0)
    left, values, _ = np.linalg.svd(np.vstack(triangles).T)
    held = int(np.count_nonzero(values > tolerance * values[0]))
    return Room(left[:, held:], ratio(float(np.linalg.norm(values[held:])), float(np.linalg.norm(values))))


def quiet_directions(moment: Array, threshold: float) -> Array:
    """V (d, k): the eigenvectors of `moment` (d, d) whose eigenvalue is less than `threshold`."""
    require_finite("what is kept", moment)
    values, vectors = np.linalg.eigh((moment + moment.T) / 2)
    return np.asarray(vectors[:, values < threshold])


def orthogonal(basis: Array, keys: Array) -> Array:
    """The part of `basis` (d, k) that `keys` (d, j) have no part in: (d, at least k - j), orthonormal as well.

    Combinations of keys with at most 1e-8 of their norm in `basis` are orthogonal to it already.
    """
    left, values, _ = np.linalg.svd(basis.T @ keys)
    held = int(np.count_nonzero(values > HELD_ALREADY * np.linalg.norm(keys)))
    return np.asarray(basis @ left[:, held:])


def shares(basis: Array, concepts: Iterable[tuple[Array, Array]]) -> Array:
    """|V^T C|^2 / |C|^2 for each concept's keys C (d, m) by their weights (m,): how much of it is free, (concepts,)."""
    scaled = [keys * np.sqrt(weights) for keys, weights in concepts]
    return np.array([ratio(float(np.sum((basis.T @ one) ** 2)), float(np.sum(one**2))) for one in scaled])


def require_room(free: int, width: int, shares: Array) -> None:
    """Raises NoRoomError when none of `width` directions is free, NoPartError when a concept has no share in them."""
    if not free:
        raise NoRoomError(width)
    if shares.min() <= NO_PART:
        raise NoPartError(int(shares.argmin()))


@dataclass(frozen=True)
class Restricted:
    """The symmetric N (d, d) of the module, which takes the place of G^-1."""

    basis: Array
    """V (d, k)."""
    factor: Factor
    """The Cholesky factor of N's middle, (k, k)."""

    def solve(self, right: Array) -> Array:
        """N right, (d, n)."""
        return np.asarray(self.basis @ self.factor.solve(self.basis.T @ right))

    def residual(self, right: Array) -> float:
        """|G X - B| / |B| of that solve, in the coordinates of V."""
        inner = self.basis.T @ right
        return residual(self.factor, self.factor.solve(inner), inner)


def restrict(basis: Array, keys: Array, weights: Array, lamb: float) -> Restricted:
    """N for keys (d, m) with weights (m,) and a basis (d, k > 0). Raises SingularError, NonFiniteError."""
    inner = basis.T @ keys
    return Restricted(basis, factorise(normal_matrix(inner, weights, np.zeros((len(inner), len(inner))), lamb)))


def factor_aim(keys: Array, targets: Array, weights: Array) -> tuple[Array, Array]:
    """(T - C) A C^T as left (d, r) times aim (r, d): one column a key, or with more keys than d the product itself."""
    if keys.shape[1] > keys.shape[0]:
        return np.eye(len(keys)), np.asarray((targets - keys) @ (keys * weights).T)
    return np.asarray(targets - keys), np.asarray((keys * weights).T)
