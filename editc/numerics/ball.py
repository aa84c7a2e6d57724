"""The sets in which the rows of text encoders lie: a ball for each, and an ellipsoid around those of several.

A row that leaves a LayerNorm is x = gamma * u + beta with u = (h - mean h) / sqrt(var h + eps). So sum(u) = 0 and |u|^2
= n var / (var + eps) < n for every eps: the ball |u| <= sqrt(n) contains every row that any prompt can have.
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
"""The relative distance from 1 to the next float64, 2.2e-16."""


@dataclass(frozen=True)
class Ball:
    """A set that contains every row of one encoder: x = gamma * u + beta with |u| <= radius."""

    gamma: Array
    """(n,). The gain of the encoder's last LayerNorm."""
    beta: Array
    """(n,). The shift of that LayerNorm."""
    radius: float
    """The bound on |u|. inf if it is not known and has to be measured first."""
    centred: bool
    """True if sum(u) = 0 holds as well."""
    proven: bool
    """True if the bound follows from the architecture, False if it was measured over a corpus."""


def unbounded_ball(width: int) -> Ball:
    """Return a ball for rows of `width` entries whose bound is not known: the radius still has to be measured."""
    return Ball(np.ones(width), np.zeros(width), float("inf"), centred=False, proven=False)


@dataclass(frozen=True)
class Ellipsoid:
    """A set that contains every row that encoders can give: x = shift + lengths * (B y) with |y| <= radius.

    B (d, k) has orthonormal columns: those of I, or where sum(u) = 0 holds for the coordinates of an encoder, all but
    the first of the Householder reflection that takes the first of these coordinates to (1, ..., 1). So a product with
    B takes O(d) operations a column.
    """

    shift: Array
    """The centre, (d,)."""
    lengths: Array
    """(d,). What stretches each coordinate."""
    radius: float
    """The bound on |y|."""
    exact: bool
    """True if the set is just the rows of the balls that it was made of, False if it is larger."""
    proven: bool
    """True if every one of these balls is proven."""
    centred: tuple[tuple[int, int], ...] = ()
    """Where the coordinates lie, first and end, whose u sums to 0."""

    @property
    def frame(self) -> Array:
        """The axes as columns, (d, k); or (d,), their lengths, where each lies along a coordinate."""
        return self.combine(np.eye(int(self._free.sum()))) if self.centred else self.lengths

    def combine(self, y: Array) -> Array:
        """Return frame y, (d, m), for y (k, m)."""
        if not self.centred:
            return np.asarray(self.lengths[:, None] * y)
        u = np.zeros((len(self.lengths), y.shape[1]))
        u[self._free] = y
        self._reflect(u)
        u *= self.lengths[:, None]
        return u

    def project(self, columns: Array) -> Array:
        """Return frame^T columns, (k, m), for columns (d, m)."""
        u = self.lengths[:, None] * columns
        return self._reflect(u)[self._free] if self.centred else u

    def contains(self, columns: Array, slack: float = 1e-6) -> NDArray[np.bool_]:
        """Say which of the columns (d, m) lie in the set, up to `slack` of their length: (m,)."""
        return unmoved(columns, self.move_inside(columns), slack)

    def move_inside(self, columns: Array) -> Array:
        """Return the columns (d, m), each moved to a point (d, m) of the set.

        Components outside the span of `frame` are removed, and then |y| is scaled down to `radius` if it is larger.
        """
        y = self._coordinates(columns - self.shift[:, None])
        y *= np.minimum(1.0, self.radius / np.maximum(np.linalg.norm(y, axis=0), self.radius))
        return np.asarray(self.shift[:, None] + self.combine(y))

    @property
    def _free(self) -> NDArray[np.bool_]:
        """(d,): the coordinates of y among those of u."""
        free = np.ones(len(self.lengths), bool)
        free[[first for first, _ in self.centred]] = False
        return free

    def _reflect(self, u: Array) -> Array:
        """Reflect each centred part of u (d, m), in place."""
        for first, end in self.centred:
            part, share = u[first:end], (end - first) ** -0.5
            pull = (share * part.sum(axis=0) + part[0]) / (1 + share)
            part -= share * pull
            part[0] -= pull
        return u

    def _coordinates(self, away: Array) -> Array:
        """Return y (k, m) with frame y nearest to `away` (d, m). Axes that are shorter than rounding get 0.

        What of `away` no y gives lies along 1 / lengths in each centred part; it is taken out first.
        """
        from scipy.linalg import lstsq

        cutoff, size = EPS * len(self.lengths), np.abs(self.lengths)[:, None]
        long = size > cutoff * size.max()
        if self.centred and not long.all():
            return np.asarray(lstsq(self.frame, away, cond=cutoff, lapack_driver="gelsy", check_finite=False)[0])
        u = np.divide(away, self.lengths[:, None], out=np.zeros_like(away), where=long)
        for first, end in self.centred:
            across = self.lengths[first:end, None] ** -2
            u[first:end] -= across * (u[first:end].sum(axis=0) / across.sum())
        return self._reflect(u)[self._free] if self.centred else u


def unmoved(columns: Array, moved: Array, slack: float = 1e-6) -> NDArray[np.bool_]:
    """Say which of the columns (d, m) `moved` (d, m) has at the same place, up to `slack` of their length: (m,)."""
    away = np.linalg.norm(moved - columns, axis=0)
    return np.asarray(away <= slack * np.linalg.norm(columns, axis=0))


def join_balls(balls: Sequence[Ball]) -> Ellipsoid:
    """Return an ellipsoid that contains the rows of several encoders side by side, each in its ball |u_i| <= r_i.

    The constraints are replaced by one that they imply: sum |u_i / r_i|^2 <= number of balls. For a single ball that is
    exact. For several it allows more rows, so the minimum over the ellipsoid is a lower bound of the true minimum.
    Raises NonFiniteError if a ball has no finite radius, or a gain or shift is NaN or infinite.
    """
    lengths = np.concatenate([ball.gamma * ball.radius for ball in balls])
    require_finite("the encoder's LayerNorm", lengths, *(ball.beta for ball in balls))
    ends = np.cumsum([len(ball.gamma) for ball in balls])
    centred = tuple(
        (int(end) - len(ball.gamma), int(end)) for end, ball in zip(ends, balls, strict=True) if ball.centred
    )
    shift, proven = np.concatenate([ball.beta for ball in balls]), all(ball.proven for ball in balls)
    return Ellipsoid(shift, lengths, float(np.sqrt(len(balls))), len(balls) == 1, proven, centred)
