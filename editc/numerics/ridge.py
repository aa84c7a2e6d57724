"""Solve the least-squares problem of closed-form editing, by a Cholesky factorisation in float64 without any inverse.

One column is one key. The keys are C (d, m), their targets T (d, m), their weights a (m,) with A = diag(a), and S (d,
d) is the second moment of what is preserved:

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
    """Raised if a matrix G has no usable Cholesky factor: it is not positive definite, or too badly conditioned.

    `condition` is the estimate of its condition number, inf if there is none.
    """

    def __init__(self, condition: float) -> None:
        super().__init__(f"the normal matrix is singular to working precision (condition {condition:.1e})")
        self.condition = condition


class NonFiniteError(ArithmeticError):
    """Raised if an input has an entry that is NaN or infinite. `where` names the input."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} holds NaN or infinity")
        self.where = where


WORST_CONDITION = 1e14
"""A matrix with a larger condition number is refused: a float64 solve (16 digits) would keep fewer than two digits."""


@dataclass(frozen=True)
class Factor:
    """The Cholesky factor of a symmetric positive definite G (d, d)."""

    lower: Array
    """L (d, d), lower triangular, with G = L L^T."""
    condition: float
    """LAPACK's estimate (pocon) of the condition number of G in the 1-norm. It is off by a small factor at most."""

    def solve(self, right: Array) -> Array:
        """Return G^-1 right (d, k) for `right` (d, k)."""
        from scipy.linalg import cho_solve

        return np.asarray(cho_solve((self.lower, True), right, check_finite=False))

    def solve_transposed(self, right: Array) -> Array:
        """Return X = L^-T right (d, k) for `right` (d, k), so that X^T L = right^T."""
        from scipy.linalg import solve_triangular

        return np.asarray(solve_triangular(self.lower, right, lower=True, trans="T", check_finite=False))


def require_finite(where: str, *arrays: Array) -> None:
    """Raise NonFiniteError(where) unless every entry of every array is finite."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise NonFiniteError(where)


def factorise(normal: Array) -> Factor:
    """Return the Cholesky factor of `normal` (d, d), with its condition.

    Raises SingularError if it is not positive definite or its condition is above WORST_CONDITION, NonFiniteError if an
    entry is NaN or infinite.
    """
    require_finite("the normal matrix", normal)
    lower = cholesky(normal)
    if lower is None:
        raise SingularError(float("inf"))
    return measure_condition(lower, normal)


def cholesky(normal: Array) -> Array | None:
    """Return the lower triangle L (d, d) with L L^T = normal; None if `normal` (d, d) is not positive definite."""
    from scipy.linalg.lapack import dpotrf

    lower, failed = dpotrf(normal, lower=1, clean=1)
    return None if failed else np.asarray(lower)


def measure_condition(lower: Array, normal: Array) -> Factor:
    """Return the factor `lower` (d, d) of `normal` (d, d) together with its condition.

    Raises SingularError if the condition is above WORST_CONDITION.
    """
    from scipy.linalg.lapack import dpocon

    reciprocal, _ = dpocon(lower, np.linalg.norm(normal, 1), uplo="L")
    condition = 1.0 / reciprocal if reciprocal > 0 else float("inf")
    if condition > WORST_CONDITION:
        raise SingularError(condition)
    return Factor(lower, float(condition))


@dataclass(frozen=True)
class Multiplier:
    """A solution as a factor that fits every weight of the group: W' = W (I + left right)."""

    left: Array
    """U (d, k), with k = m, or k = d where the product itself is stored."""
    right: Array
    """V (k, d)."""
    factor: Factor
    """The factor of G."""
    residual: float
    """The relative error of the solve, |G X - B| / |B|."""


def normal_matrix(keys: Array, weights: Array, moment: Array, lamb: float) -> Array:
    """Return G = C A C^T + S + lamb I (d, d), symmetric to the last bit.

    keys is C (d, m), weights is a (m,), moment is S (d, d).
    """
    scaled = keys * np.sqrt(weights)
    normal = scaled @ scaled.T + (moment + moment.T) / 2
    normal[np.diag_indices_from(normal)] += lamb
    return np.asarray(normal)


def solve(keys: Array, targets: Array, weights: Array, moment: Array, lamb: float, per_key: bool = False) -> Multiplier:
    """Return the exact minimiser of the module's problem: left = T - C and right = A C^T G^-1, with one row a key.

    With more keys than d, left is I and right is the whole product (T - C) A C^T G^-1. `per_key` gives one row a key
    all the same. keys and targets are (d, m), weights (m,) >= 0, moment (d, d) positive semidefinite, lamb >= 0.
    Raises SingularError if G has no usable factor, NonFiniteError if an input is NaN or infinite.
    """
    require_finite("the keys or targets", keys, targets, weights)
    factor = factorise(normal_matrix(keys, weights, moment, lamb))
    whole = keys.shape[1] > keys.shape[0] and not per_key
    aim = (keys * weights) @ (targets - keys).T if whole else keys * weights
    right = factor.solve(aim)
    left = np.eye(len(keys)) if whole else targets - keys
    return Multiplier(left, right.T, factor, residual(factor, right, aim))


def residual(factor: Factor, solved: Array, right: Array) -> float:
    """Return the relative error |G X - B| / |B| of a solve, for X = `solved` and B = `right`, (d, k) each.

    0 if B is zero.
    """
    size = float(np.linalg.norm(right))
    back = factor.lower @ (factor.lower.T @ solved) - right
    return float(np.linalg.norm(back)) / size if size else 0.0


def interpolate_targets(keys: Array, targets: Array, strength: float) -> Array:
    """Return the targets C + strength (T - C), (d, m), for keys C and targets T, (d, m) each.

    The problem is linear in the targets, so solving with these equals scaling the edit by `strength`.
    """
    return np.asarray(keys + strength * (targets - keys))
