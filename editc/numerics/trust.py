"""The nearest that any embedding of an encoder can come to given outputs: trust-region least squares, solved exactly.

Rows that leave a LayerNorm are x = gamma * u + beta with u = (h - mean h) / sqrt(var h + eps), so sum(u) = 0 and
|u|^2 = n var / (var + eps) < n, whatever the eps: the ball |u| <= sqrt(n) holds every row that any prompt can have.
Over it, for an edited layer W', the layer's original W and a key c,

    f(x) = sum_l |W'_l x - W_l c|^2 = x^T G' x - 2 x^T X c + c^T G c
    G' = sum W'^T W',  X = sum W'^T W,  G = sum W^T W

is convex, so its least value is found to rounding by one eigendecomposition and the secular equation |y(mu)| = radius
(Moré and Sorensen 1983; Conn, Gould and Toint, Trust-Region Methods, 7.3), for all columns c together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.ridge import require_finite

Array: TypeAlias = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
MOST_STEPS = 100
CHUNK = 512
"""Columns solved at a time: a few (d, 512) arrays in memory."""


@dataclass(frozen=True)
class Ball:
    """Where the rows of one encoder lie: x = gamma * u + beta with |u| <= radius."""

    gamma: Array
    """(n,): the gain of the last LayerNorm."""
    beta: Array
    """(n,): its shift."""
    radius: float
    """The bound on |u|; inf where it is not known and must be measured first."""
    centred: bool
    """True where sum(u) = 0 as well."""
    proven: bool
    """True where this follows from the architecture; False where it was measured over a corpus."""


def unbounded_ball(width: int) -> Ball:
    """`width` coordinates of which nothing is known: the radius is still to be measured."""
    return Ball(np.ones(width), np.zeros(width), float("inf"), centred=False, proven=False)


@dataclass(frozen=True)
class Reach:
    """A set of rows: x = shift + frame y with |y| <= radius."""

    shift: Array
    """(d,)."""
    frame: Array
    """(d, k)."""
    radius: float
    """The bound on |y|."""
    exact: bool
    """True for the very set; False for one that holds it."""
    proven: bool
    """As of the balls that it is made of."""

    def inside(self, columns: Array, slack: float = 1e-6) -> NDArray[np.bool_]:
        """Which of the columns (d, m) lie in the set, to `slack` of their length."""
        return stay_put(columns, self.brought(columns), slack)

    def brought(self, columns: Array) -> Array:
        """The columns (d, m) brought into the set: off the directions that it has not, and back to the ball."""
        from scipy.linalg import lstsq

        away, cutoff = columns - self.shift[:, None], EPS * len(self.frame)
        y = lstsq(self.frame, away, cond=cutoff, lapack_driver="gelsy", check_finite=False)[0]
        y *= np.minimum(1.0, self.radius / np.maximum(np.linalg.norm(y, axis=0), self.radius))
        return np.asarray(self.shift[:, None] + self.frame @ y)


def stay_put(columns: Array, brought: Array, slack: float = 1e-6) -> NDArray[np.bool_]:
    """Which of the columns (d, m) a reach brought to where they were, to `slack` of their length."""
    away = np.linalg.norm(brought - columns, axis=0)
    return np.asarray(away <= slack * np.linalg.norm(columns, axis=0))


def join_balls(balls: Sequence[Ball]) -> Reach:
    """The rows of several encoders side by side, each in its ball: |u_1| <= r_1, |u_2| <= r_2, ...

    Several constraints are replaced by the one that they imply, sum |u_i / r_i|^2 <= number of balls. It lets more
    through, so a minimum over it is a lower bound of the true one, and exact for a single ball.
    """
    scale = np.concatenate([ball.gamma * ball.radius for ball in balls])
    require_finite("the encoder's LayerNorm", scale, *(ball.beta for ball in balls))
    ends = np.cumsum([len(ball.gamma) for ball in balls])
    normals = np.zeros((len(scale), sum(ball.centred for ball in balls)))
    for column, (end, ball) in enumerate((e, b) for e, b in zip(ends, balls, strict=True) if b.centred):
        normals[end - len(ball.gamma) : end, column] = 1.0
    basis = np.linalg.qr(normals, mode="complete")[0][:, normals.shape[1] :]
    shift = np.concatenate([ball.beta for ball in balls])
    proven = all(ball.proven for ball in balls)
    return Reach(shift, scale[:, None] * basis, float(np.sqrt(len(balls))), len(balls) == 1, proven)


@dataclass(frozen=True)
class Minimum:
    """The least value of f over a set, for each of m columns."""

    points: Array
    """(d, m): the minimisers."""
    values: Array
    """(m,): f there."""
    lower: Array
    """(m,): no point of the set goes below. The dual value; the two meet but for rounding."""
    multipliers: Array
    """(m,): of the ball."""
    inside: NDArray[np.bool_]
    """(m,): whether the minimiser is inside the ball and not on it."""
    residual: Array
    """(m,): of the stationarity (H + mu I) y + g = 0, relative."""


@dataclass(frozen=True)
class Nearest:
    """The function f of the module over a set, with its Hessian H = frame^T G' frame decomposed once."""

    reach: Reach
    """The set."""
    gram: Array
    """G' (d, d)."""
    cross: Array
    """X (d, d)."""
    base: Array
    """G (d, d)."""
    values: Array
    """(k,): the eigenvalues of H, rising."""
    vectors: Array
    """(k, k): its eigenvectors."""
    cutoff: float
    """An eigenvalue up to this is rounding of 0."""

    def objective(self, points: Array, keys: Array) -> Array:
        """f (m,) of points (d, m), each against its own key (d, m), whether in the reach or not."""
        return _total(
            np.einsum("im,im->m", points, self.gram @ points),
            -2 * np.einsum("im,im->m", points, self.cross @ keys),
            np.einsum("im,im->m", keys, self.base @ keys),
        )

    def distance(self, keys: Array, targets: Array) -> Array:
        """sum_l |W_l c - W_l c*|^2 (m,) of keys and targets (d, m)."""
        moved = keys - targets
        return np.asarray(np.einsum("im,im->m", moved, self.base @ moved))

    def minimise(self, keys: Array) -> Minimum:
        """The exact minimum of f over the reach for every key of (d, m)."""
        require_finite("the keys", keys)
        starts = range(0, max(1, keys.shape[1]), CHUNK)
        parts = [self._chunk(keys[:, start : start + CHUNK]) for start in starts]
        names = ("values", "lower", "multipliers", "inside", "residual")
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return Minimum(np.hstack([part.points for part in parts]), **columns)

    def _chunk(self, keys: Array) -> Minimum:
        reach, radius = self.reach, self.reach.radius
        pull = self.gram @ reach.shift[:, None] - self.cross @ keys
        g = self.vectors.T @ (reach.frame.T @ pull)
        flat = np.abs(self.values) <= self.cutoff
        values, held = np.where(flat, 0.0, self.values), np.where(flat[:, None], 0.0, g)
        y, multipliers, inside = secular(values, held, radius)
        points = reach.shift[:, None] + reach.frame @ (self.vectors @ y)
        centre = self.objective(np.repeat(reach.shift[:, None], keys.shape[1], axis=1), keys)
        lost = self.cutoff * radius**2 + 2 * radius * np.linalg.norm(g - held, axis=0)
        lower = centre + _lower(values, held, multipliers, radius) - lost
        slope = self.values[:, None] * y + multipliers * y + g
        size = np.linalg.norm(self.values[:, None] * y, axis=0) + np.linalg.norm(g, axis=0)
        residual = np.linalg.norm(slope, axis=0) / np.where(size > 0, size, 1.0)
        return Minimum(points, self.objective(points, keys), np.maximum(lower, 0), multipliers, inside, residual)


def nearest(reach: Reach, gram: Array, cross: Array, base: Array) -> Nearest:
    """f of the module's text over `reach`; gram = G', cross = X, base = G, (d, d) each. One eigendecomposition."""
    from scipy.linalg import eigh

    require_finite("the edited weights", gram, cross, base)
    hessian = reach.frame.T @ gram @ reach.frame
    hessian += hessian.T
    hessian *= 0.5
    values, vectors = eigh(hessian.T, overwrite_a=True, check_finite=False, driver="evd")
    cutoff = len(values) * EPS * float(np.abs(values).max(initial=0.0))
    return Nearest(reach, gram, cross, base, values, vectors, cutoff)


def secular(values: Array, g: Array, radius: float) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Minimise sum_i values_i y_i^2 + 2 g_i y_i over |y| <= radius: y (k, m), multipliers (m,), whether inside (m,).

    values (k,) rising, of any sign; g (k, m), a problem a column. y = -g / (values + mu) with the least mu >= 0 that
    leaves no negative curvature and |y| <= radius. Where even the least such mu leaves |y| < radius and the curvature
    is negative (the hard case: g has no part along the lowest eigenvector), y goes on along that vector to the sphere.

    mu is found by Newton's method on 1/|y(mu)| - 1/radius, from a mu that is not above the root: there it rises
    monotonically to it and no safeguard is needed. It is counted from the least mu, so that nearly hard cases keep
    their digits.
    """
    low = max(0.0, -float(values[0]))
    spread = (values + low)[:, None]
    above = np.maximum(0.0, (np.abs(g) / radius - spread).max(axis=0))
    for _ in range(MOST_STEPS):
        poles = spread + above
        y = -_over(g, poles)
        size = np.linalg.norm(y, axis=0)
        move = np.maximum(0.0, _over(size**2 * (size - radius) / radius, _over(y * y, poles).sum(axis=0)))
        above = above + move
        if (move <= 2 * EPS * above).all():
            break
    inside = (above == 0) & (size <= radius)
    y *= np.minimum(1.0, _over(np.full_like(size, radius), size))
    if low > 0:
        y[0] += np.where(inside, np.sqrt(np.maximum(0.0, radius**2 - size**2)), 0.0)
        inside = np.zeros_like(inside)
    return y, low + above, inside


def _over(parts: Array, wholes: Array) -> Array:
    """parts / wholes, 0 where the whole is 0: what vanishes with its curvature has no part in the minimiser."""
    return np.divide(parts, wholes, out=np.zeros_like(parts), where=wholes > 0)


def _lower(values: Array, g: Array, mu: Array, radius: float) -> Array:
    """The dual value, -sum g_i^2 / (values_i + mu) - mu radius^2: nothing in the ball is below it."""
    return np.asarray(-_over(g * g, values[:, None] + mu).sum(axis=0) - mu * radius**2)


def _total(*terms: Array) -> Array:
    """The sum of terms that may cancel, 0 where it is within their rounding."""
    total = np.sum(terms, axis=0)
    noise = 64 * EPS * np.sum(np.abs(terms), axis=0)
    return np.where(total > noise, total, 0.0)
