"""The one least-squares problem of closed-form editing, by Cholesky in float64 and never by an inverse.

Column convention, keys `C` (d, m), targets `T` (d, m), key weights `a` (m,), second moment of what is kept `S` (d, d):

    min over W'  sum_i a_i |W' c_i - W t_i|^2 + tr((W' - W) S (W' - W)^T) + lamb |W' - W|^2
    W' = W (I + U V),  U = (T - C),  V = A C^T G^-1,  G = C A C^T + S + lamb I      (UCE, arXiv 2308.14761, eq. 7)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


class SingularError(ArithmeticError):
    """G is not positive definite (or so nearly that digits are gone): `condition` is its estimate, inf if unknown."""

    def __init__(self, condition: float) -> None:
        super().__init__(f"the normal matrix is singular to working precision (condition {condition:.1e})")
        self.condition = condition


class NonFiniteError(ArithmeticError):
    """An input holds NaN or infinity; `where` names it."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} holds NaN or infinity")
        self.where = where


WORST_CONDITION = 1e14
"""Above this a float64 solve keeps fewer than two digits; it is refused."""


@dataclass(frozen=True)
class Factor:
    """The Cholesky factor of a symmetric positive definite G (d, d)."""

    lower: Array
    """L (d, d), lower triangular, with G = L L^T."""
    condition: float
    """LAPACK's estimate of G's condition number in the 1-norm (pocon), within a small factor of it."""

    def solve(self, right: Array) -> Array:
        """G^-1 right, (d, k)."""
        from scipy.linalg import cho_solve

        return np.asarray(cho_solve((self.lower, True), right, check_finite=False))

    def half(self, right: Array) -> Array:
        """lower^-T right, (d, k): so that `half(Q)^T lower = Q^T`."""
        from scipy.linalg import solve_triangular

        return np.asarray(solve_triangular(self.lower, right, lower=True, trans="T", check_finite=False))


def require_finite(where: str, *arrays: Array) -> None:
    """Raises NonFiniteError(where) unless every entry of every array is finite."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise NonFiniteError(where)


def factorise(normal: Array) -> Factor:
    """The Cholesky factor of `normal` (d, d); SingularError if it has none or its condition passes 1e14."""
    require_finite("the normal matrix", normal)
    lower = lower_of(normal)
    if lower is None:
        raise SingularError(float("inf"))
    return measure_condition(lower, normal)


def lower_of(normal: Array) -> Array | None:
    """The lower triangle L (d, d) with L L^T = normal, finite; None if it is not positive definite."""
    from scipy.linalg.lapack import dpotrf

    lower, failed = dpotrf(normal, lower=1, clean=1)
    return None if failed else np.asarray(lower)


def measure_condition(lower: Array, normal: Array) -> Factor:
    """`lower` as the factor of `normal`, with its condition; SingularError if that passes 1e14."""
    from scipy.linalg.lapack import dpocon

    reciprocal, _ = dpocon(lower, np.linalg.norm(normal, 1), uplo="L")
    condition = 1.0 / reciprocal if reciprocal > 0 else float("inf")
    if condition > WORST_CONDITION:
        raise SingularError(condition)
    return Factor(lower, float(condition))


@dataclass(frozen=True)
class Multiplier:
    """A solution, as what every weight is multiplied with: W' = W (I + left right)."""

    left: Array
    """(d, k), k = min(m, d)."""
    right: Array
    """(k, d)."""
    factor: Factor
    """Of G."""
    residual: float
    """|G X - B| / |B| of the solve."""


def normal_matrix(keys: Array, weights: Array, moment: Array, lamb: float) -> Array:
    """G = C A C^T + S + lamb I, (d, d), symmetric to the last bit."""
    scaled = keys * np.sqrt(weights)
    normal = scaled @ scaled.T + (moment + moment.T) / 2
    normal[np.diag_indices_from(normal)] += lamb
    return np.asarray(normal)


def solve(keys: Array, targets: Array, weights: Array, moment: Array, lamb: float, per_key: bool = False) -> Multiplier:
    """The exact minimiser of the module's problem: left = T - C and right = A C^T G^-1, one row a key.

    With more keys than d the product is returned instead, left = I and right = M, unless `per_key` asks for the rows.
    keys, targets (d, m); weights (m,) >= 0; moment (d, d) positive semidefinite; lamb >= 0.
    Raises SingularError, NonFiniteError.
    """
    require_finite("the keys or targets", keys, targets, weights)
    factor = factorise(normal_matrix(keys, weights, moment, lamb))
    whole = keys.shape[1] > keys.shape[0] and not per_key
    aim = (keys * weights) @ (targets - keys).T if whole else keys * weights
    right = factor.solve(aim)
    left = np.eye(len(keys)) if whole else targets - keys
    return Multiplier(left, right.T, factor, residual(factor, right, aim))


def residual(factor: Factor, solved: Array, right: Array) -> float:
    """|G X - B| / |B|, zero for B = 0."""
    size = float(np.linalg.norm(right))
    back = factor.lower @ (factor.lower.T @ solved) - right
    return float(np.linalg.norm(back)) / size if size else 0.0


def toward(keys: Array, targets: Array, strength: float) -> Array:
    """c + strength (t - c): solving with these targets equals scaling the edit by `strength` (exact, since linear)."""
    return np.asarray(keys + strength * (targets - keys))
