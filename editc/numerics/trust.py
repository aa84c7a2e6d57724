"""Find how near any row of a text encoder can bring an edited model to its old outputs, exactly.

Over the ball of `ball.py`, for edited layers W'_l, the same layers W_l before the edit, and a key c, minimise

    f(x) = sum_l |W'_l x - W_l c|^2 = x^T G' x - 2 x^T X c + c^T G c
    G' = sum_l W'_l^T W'_l,  X = sum_l W'_l^T W_l,  G = sum_l W_l^T W_l

This is a trust-region least-squares problem. f is convex. One eigendecomposition and the secular equation |y(mu)| =
radius give its minimum up to rounding, for all keys c together (Moré and Sorensen 1983; Conn, Gould and Toint,
Trust-Region Methods, section 7.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.ball import EPS, Ellipsoid
from editc.numerics.ridge import require_finite

Array: TypeAlias = NDArray[np.float64]

NEWTON_STEPS = 100
"""The most Newton steps. Chosen by hand: the iteration stops by itself once it is exact up to rounding."""
CHUNK = 512
"""Keys solved at a time. Chosen by hand: a few (d, 512) arrays are in memory."""


@dataclass(frozen=True)
class Minimum:
    """The minimum of f over an ellipsoid, for each of m keys."""

    points: Array
    """(d, m). The minimisers, one a key."""
    values: Array
    """(m,). f at the minimisers."""
    lower: Array
    """(m,). A lower bound of f over the ellipsoid: the dual value. It equals `values` up to rounding."""
    multipliers: Array
    """(m,). mu, the Lagrange multiplier of |y| <= radius; 0 if the constraint is not active."""
    inside: NDArray[np.bool_]
    """(m,). True if the minimiser is inside the ellipsoid, False if it is on its surface."""
    residual: Array
    """(m,). The relative error of the stationarity condition (H + mu I) y + g = 0."""


@dataclass(frozen=True)
class KeyTerms:
    """What f takes of keys c."""

    own: Array
    """(m,): c^T G c."""
    across: Array
    """(d, m): X c."""

    def columns(self, which: slice) -> KeyTerms:
        """Return the terms of some of the keys."""
        return KeyTerms(self.own[which], self.across[:, which])


@dataclass(frozen=True)
class NearestProblem:
    """The problem of minimising f of the module's text over an ellipsoid. H = frame^T G' frame is decomposed once."""

    ellipsoid: Ellipsoid
    """The set over which f is minimised."""
    gram: Array
    """G' (d, d), of the edited weights."""
    cross: Array
    """X (d, d), of the edited weights and those before the edit."""
    base: Array
    """G (d, d), of the weights before the edit."""
    values: Array
    """(k,). The eigenvalues of H in ascending order."""
    vectors: Array
    """(k, k). The eigenvectors of H as columns."""
    cutoff: float
    """An eigenvalue whose size is at most this counts as 0: it is rounding."""

    def terms(self, keys: Array) -> KeyTerms:
        """Return what f takes of keys (d, m)."""
        return KeyTerms(np.sum(keys * (self.base @ keys), axis=0), self.cross @ keys)

    def objective(self, points: Array, keys: Array, terms: KeyTerms | None = None) -> Array:
        """Return f (m,) at points (d, m), inside the ellipsoid or not.

        Each column of `keys` (d, m) is the key of the point in the same column; `terms` are theirs, where known.
        """
        terms = terms or self.terms(keys)
        return _objective(points, self.gram @ points, terms.across, terms.own)

    def distance(self, keys: Array, targets: Array) -> Array:
        """Return sum_l |W_l c - W_l t|^2 (m,): how far keys c and targets t, (d, m) each, are apart before the edit."""
        moved = keys - targets
        return np.asarray(np.sum(moved * (self.base @ moved), axis=0))

    def minimise(self, keys: Array, terms: KeyTerms | None = None) -> Minimum:
        """Return the minimum of f over the ellipsoid for every key of `keys` (d, m), exact up to rounding. `terms` are
        those of the keys, where known.

        Raises NonFiniteError if a key is NaN or infinite.
        """
        require_finite("the keys", keys)
        terms = terms or self.terms(keys)
        starts = range(0, max(1, keys.shape[1]), CHUNK)
        parts = [self._chunk(terms.columns(slice(start, start + CHUNK))) for start in starts]
        names = ("values", "lower", "multipliers", "inside", "residual")
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return Minimum(np.hstack([part.points for part in parts]), **columns)

    def _chunk(self, terms: KeyTerms) -> Minimum:
        """Minimise f for the terms of some keys, all in memory at once."""
        ellipsoid, radius, own, across = self.ellipsoid, self.ellipsoid.radius, terms.own, terms.across
        centre = ellipsoid.shift[:, None]
        pulled = self.gram @ centre
        pull = pulled - across
        g = self.vectors.T @ ellipsoid.project(pull)
        flat = np.abs(self.values) <= self.cutoff
        values, slopes = np.where(flat, 0.0, self.values), np.where(flat[:, None], 0.0, g)
        y, multipliers, inside = minimise_in_ball(values, slopes, radius)
        points = centre + ellipsoid.combine(self.vectors @ y)
        lost = self.cutoff * radius**2 + 2 * radius * np.linalg.norm(g - slopes, axis=0)
        lower = _objective(centre, pulled, across, own) + _dual_value(values, slopes, multipliers, radius) - lost
        slope = self.values[:, None] * y + multipliers * y + g
        size = np.linalg.norm(self.values[:, None] * y, axis=0) + np.linalg.norm(g, axis=0)
        residual = np.linalg.norm(slope, axis=0) / np.where(size > 0, size, 1.0)
        values_there = _objective(points, self.gram @ points, across, own)
        return Minimum(points, values_there, np.maximum(lower, 0), multipliers, inside, residual)


def nearest_problem(ellipsoid: Ellipsoid, gram: Array, cross: Array, base: Array) -> NearestProblem:
    """Set up the problem over `ellipsoid`, with one eigendecomposition; gram is G', cross is X, base is G, (d, d) each.

    Raises NonFiniteError if an entry is NaN or infinite.
    """
    from scipy.linalg import eigh

    require_finite("the edited weights", gram, cross, base)
    hessian = ellipsoid.project(ellipsoid.project(gram).T)
    hessian += hessian.T
    hessian *= 0.5
    values, vectors = eigh(hessian.T, overwrite_a=True, check_finite=False, driver="evd")
    cutoff = len(values) * EPS * float(np.abs(values).max(initial=0.0))
    return NearestProblem(ellipsoid, gram, cross, base, values, vectors, cutoff)


def minimise_in_ball(values: Array, g: Array, radius: float) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Minimise sum_i values_i y_i^2 + 2 g_i y_i over |y| <= radius, for the m columns of g (k, m).

    values (k,) ascend and may have any sign. Returns y (k, m), the multipliers mu (m,), and whether y is inside the
    ball (m,).

    The solution is y = -g / (values + mu) with the least mu >= 0 that leaves no negative curvature and |y| <= radius.
    In the hard case the curvature is negative and g has no component along the lowest eigenvector. Then even the least
    mu leaves |y| < radius, and y is extended along that eigenvector up to the sphere.

    Newton's method on 1/|y(mu)| - 1/radius finds mu. It starts at or below the root, so it rises monotonically to the
    root and needs no safeguard. mu is stored relative to the least mu, so that nearly hard cases keep their digits.
    """
    low = max(0.0, -float(values[0]))
    spread = (values + low)[:, None]
    above = np.maximum(0.0, (np.abs(g) / radius - spread).max(axis=0))
    for _ in range(NEWTON_STEPS):
        poles = spread + above
        y = -_divide(g, poles)
        size = np.linalg.norm(y, axis=0)
        move = np.maximum(0.0, _divide(size**2 * (size - radius) / radius, _divide(y * y, poles).sum(axis=0)))
        above = above + move
        if (move <= 2 * EPS * above).all():
            break
    inside = (above == 0) & (size <= radius)
    y *= np.minimum(1.0, _divide(np.full_like(size, radius), size))
    if low > 0:
        y[0] += np.where(inside, np.sqrt(np.maximum(0.0, radius**2 - size**2)), 0.0)
        inside = np.zeros_like(inside)
    return y, low + above, inside


def _divide(parts: Array, wholes: Array) -> Array:
    """Return parts / wholes, elementwise; 0 for a whole of 0, because a direction without curvature needs no step."""
    return np.divide(parts, wholes, out=np.zeros_like(parts), where=wholes > 0)


def _dual_value(values: Array, g: Array, mu: Array, radius: float) -> Array:
    """Return the dual value (m,), -sum_i g_i^2 / (values_i + mu) - mu radius^2: a lower bound over the ball."""
    return np.asarray(-_divide(g * g, values[:, None] + mu).sum(axis=0) - mu * radius**2)


def _objective(points: Array, pulled: Array, across: Array, own: Array) -> Array:
    """Return f (m,) at points x (d, m), or at one point (d, 1), from `pulled` = G' x, `across` = X c and `own` (m,),
    which is c^T G c of each key c."""
    return _sum_or_zero(np.sum(points * pulled, axis=0), -2 * np.sum(points * across, axis=0), own)


def _sum_or_zero(*terms: Array) -> Array:
    """Return the elementwise sum of terms that may cancel; 0 if it is not larger than their rounding error.

    The limit of 64 EPS relative to the terms is chosen by hand.
    """
    total, sizes = np.zeros(1), np.zeros(1)
    for term in terms:
        total, sizes = total + term, sizes + np.abs(term)
    noise = 64 * EPS * sizes
    return np.where(total > noise, total, 0.0)
