"""Find the directions in which a weight may change without an effect on preserved rows, and solve an edit in them.

One column is one key or one row of the text encoder. `basis` V (d, k) has orthonormal columns, the free directions. A
change D with D = D V V^T has no effect on a row that is orthogonal to V. C are the keys, T their targets, A = diag(a)
their weights:

    min over D = Y V^T  sum_i a_i |(W + D) c_i - W t_i|^2 + lamb |D|^2
    D = W (T - C) A C^T N,  N = V (V^T C A C^T V + lamb I)^-1 V^T

N is the limit of G^-1 of `numerics.ridge` as the weight of the preserved rows goes to infinity.
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

LEAST_FREE_SHARE = 1e-5
"""A concept is refused if at most this share of its keys' energy |C|^2 lies in the free directions: an edit could not
change it. Between two measurements on the demo model: with a share of 3e-3 the edit removes 4 % of the concept, with
3e-6 nothing that shows."""


NO_COMPONENT = 1e-8
"""Keys with at most this share of their norm in the free directions count as orthogonal to them. Chosen by hand: far
above float64's rounding (1e-16), and below the rounding of the float32 factors in a delta (6e-8)."""


class NoFreeDirectionError(ArithmeticError):
    """Raised if the preserved rows span all `width` directions, so that nothing may change."""

    def __init__(self, width: int) -> None:
        super().__init__(
            f"what is preserved spans all {width} directions of the text encoder's rows: nothing may change"
        )
        self.width = width


class PreservedKeysError(ArithmeticError):
    """Raised if the keys of block `index` lie almost wholly within the span of the preserved rows.

    No change in the free directions reaches such keys.
    """

    def __init__(self, index: int) -> None:
        super().__init__("the concept's keys lie almost entirely in what is preserved: no allowed change reaches them")
        self.index = index


@dataclass(frozen=True)
class FreeDirections:
    """The directions in which a weight may change without an effect on the preserved rows P.

    A change D = D V V^T moves P by |D P| <= preserved_share |D|_2 |P|, where |D|_2 is the largest singular value of D.
    """

    basis: Array
    """V (d, k), orthonormal columns."""
    preserved_share: float
    """The share of |P| that lies in the free directions all the same. 0 if all of P is preserved exactly."""


def free_directions(width: int, tolerance: float, *rows: Array) -> FreeDirections:
    """Return all directions of a space of `width` d that are orthogonal to every column of the arrays `rows` (d, n_i).

    The preserved directions are the d - k left singular vectors whose singular value is above `tolerance` times the
    largest. They are computed from the triangles of QRs: this squares no column and forms no n by n matrix. Raises
    NonFiniteError if a row is NaN or infinite.
    """
    require_finite("what is preserved", *rows)
    triangles = [np.linalg.qr(part.T, mode="r") for part in rows if part.size]
    if not triangles:
        return FreeDirections(np.eye(width), 0.0)
    left, values, _ = np.linalg.svd(np.vstack(triangles).T)
    preserved = int(np.count_nonzero(values > tolerance * values[0]))
    return FreeDirections(
        left[:, preserved:], ratio(float(np.linalg.norm(values[preserved:])), float(np.linalg.norm(values)))
    )


def small_eigenvectors(moment: Array, threshold: float) -> Array:
    """Return the eigenvectors V (d, k) of `moment` (d, d) whose eigenvalue is less than `threshold`.

    Raises NonFiniteError if an entry is NaN or infinite.
    """
    require_finite("what is preserved", moment)
    values, vectors = np.linalg.eigh((moment + moment.T) / 2)
    return np.asarray(vectors[:, values < threshold])


def orthogonal_part(basis: Array, keys: Array) -> Array:
    """Return orthonormal columns (d, at least k - j) that span the part of `basis` (d, k) orthogonal to `keys` (d, j).

    A combination of keys with at most NO_COMPONENT of their norm in `basis` counts as orthogonal already.
    """
    left, values, _ = np.linalg.svd(basis.T @ keys)
    count = int(np.count_nonzero(values > NO_COMPONENT * np.linalg.norm(keys)))
    return np.asarray(basis @ left[:, count:])


def free_shares(basis: Array, concepts: Iterable[tuple[Array, Array]]) -> Array:
    """Return how much of each concept lies in the free directions, (concepts,): |V^T C|^2 / |C|^2.

    `concepts` has the keys C (d, m) of each concept with their weights (m,), and `basis` is V (d, k).
    """
    scaled = [keys * np.sqrt(weights) for keys, weights in concepts]
    return np.array([ratio(float(np.sum((basis.T @ one) ** 2)), float(np.sum(one**2))) for one in scaled])


def require_free_directions(free: int, width: int, shares: Array) -> None:
    """Raise an error if no edit is possible.

    NoFreeDirectionError: none of `width` directions is free. PreservedKeysError: at least one of `shares` (concepts,),
    from `free_shares`, is at most LEAST_FREE_SHARE.
    """
    if not free:
        raise NoFreeDirectionError(width)
    if shares.min() <= LEAST_FREE_SHARE:
        raise PreservedKeysError(int(shares.argmin()))


@dataclass(frozen=True)
class RestrictedInverse:
    """The symmetric N (d, d) of the module's text, which takes the place of G^-1 in `numerics.ridge`."""

    basis: Array
    """V (d, k), the free directions."""
    factor: Factor
    """The Cholesky factor of V^T C A C^T V + lamb I, (k, k)."""

    def solve(self, right: Array) -> Array:
        """Return N right (d, n) for `right` (d, n)."""
        return np.asarray(self.basis @ self.factor.solve(self.basis.T @ right))

    def residual(self, right: Array) -> float:
        """Return the relative error |G X - B| / |B| of `solve(right)` for `right` (d, n), in the coordinates of V."""
        inner = self.basis.T @ right
        return residual(self.factor, self.factor.solve(inner), inner)


def restrict(basis: Array, keys: Array, weights: Array, lamb: float) -> RestrictedInverse:
    """Return N for `keys` (d, m) with `weights` (m,) and a `basis` (d, k) of at least one direction.

    Raises SingularError if the system in the free directions has no usable factor, NonFiniteError if an entry is NaN or
    infinite.
    """
    inner = basis.T @ keys
    return RestrictedInverse(basis, factorise(normal_matrix(inner, weights, np.zeros((len(inner), len(inner))), lamb)))


def factor_right_side(keys: Array, targets: Array, weights: Array) -> tuple[Array, Array]:
    """Return (T - C) A C^T as two factors, left (d, r) and right side (r, d).

    r is the number of keys, one column a key. With more keys than d, left is I and the right side the product itself.
    keys C and targets T are (d, m), weights (m,).
    """
    if keys.shape[1] > keys.shape[0]:
        return np.eye(len(keys)), np.asarray((targets - keys) @ (keys * weights).T)
    return np.asarray(targets - keys), np.asarray((keys * weights).T)
