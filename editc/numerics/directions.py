"""Find the directions of the residual stream that carry a concept, and change matrices so that they stop writing there.

`present` (n, d) are the outputs of prompts that carry the concept, `absent` (n', d) those of prompts that do not. One
row is one prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.ridge import SingularError, require_finite

Array: TypeAlias = NDArray[np.float64]

SAME_DIRECTION = 1e-8
"""Two directions count as one if they differ by less than this, relative to the largest singular value. Chosen by hand,
above float64's rounding."""


def difference(present: Array, absent: Array) -> Array:
    """Return the unit vector (d, 1) from the mean of `absent` to the mean of `present` (arXiv 2406.11717).

    Raises SingularError if the means are equal, NonFiniteError if an output is NaN or infinite.
    """
    require_finite("the outputs", present, absent)
    return _unit(present.mean(axis=0) - absent.mean(axis=0))


def projected_difference(present: Array, absent: Array) -> Array:
    """Return `difference` without its component along the mean of `absent`, as a unit vector (d, 1).

    Ordinary text needs that mean. Raises SingularError if nothing is left.
    """
    direction, mean = difference(present, absent), _unit(absent.mean(axis=0))
    return _unit((direction - mean * (mean.T @ direction))[:, 0])


def subspace(present: Array, absent: Array, count: int, projected: bool = False) -> Array:
    """Return the `count` leading directions (d, count), orthonormal, of `present` minus the mean of `absent`.

    `projected`: remove the component along that mean first. Raises SingularError if there are fewer directions,
    NonFiniteError if an output is NaN or infinite.
    """
    require_finite("the outputs", present, absent)
    beyond, mean = present - absent.mean(axis=0), absent.mean(axis=0)
    if projected:
        mean = _unit(mean)[:, 0]
        beyond = beyond - np.outer(beyond @ mean, mean)
    left, values, _ = np.linalg.svd(beyond.T, full_matrices=False)
    if len(values) < count or values[count - 1] <= np.finfo(float).eps * values[0]:
        raise SingularError(float("inf"))
    return np.ascontiguousarray(left[:, :count])


def minor_components(outputs: Array, share: float) -> Array:
    """Return the weakest principal components (d, k) of `outputs` (n, d), orthonormal, the weakest first.

    They are as many as hold at most `share` of the energy about the mean together.
    Components that the outputs do not have at all are left out. Raises SingularError if none is left, NonFiniteError.
    """
    require_finite("the outputs", outputs)
    _, values, right = np.linalg.svd(outputs - outputs.mean(axis=0), full_matrices=False)
    live = values > SAME_DIRECTION * values[0]
    energy, components = values[live][::-1] ** 2, right[live][::-1]
    count = int(np.count_nonzero(np.cumsum(energy) <= share * energy.sum() * (1 + SAME_DIRECTION)))
    if not count:
        raise SingularError(float("inf"))
    return np.ascontiguousarray(components[:count].T)


def joint_basis(bases: Sequence[Array]) -> Array:
    """Return an orthonormal basis (d, k) of what `bases`, (d, k_i) each, span together; a single basis as it is."""
    if len(bases) == 1:
        return bases[0]
    left, values, _ = np.linalg.svd(np.hstack(bases), full_matrices=False)
    return np.ascontiguousarray(left[:, values > SAME_DIRECTION * values[0]])


@dataclass(frozen=True)
class Eraser:
    """The affine map x -> x - left right (x - mean), which erases a concept from an output x (d,)."""

    left: Array
    """(d, r). Its columns span what is subtracted."""
    right: Array
    """(r, d). It reads from x - mean how much of each column of `left` is subtracted."""
    mean: Array
    """(d,). The mean of all outputs, which the map leaves where it is."""


def leace(outputs: Array, labels: Array, tolerance: float = 1e-12) -> Eraser:
    """Return the least change of `outputs` (n, d) after which no linear probe predicts `labels` (n, c).

    A probe is then no better than a constant (LEACE, arXiv 2306.03819, theorem 4.3). left = S^1/2 U and
    right = U^T S^-1/2, where S is the covariance of the outputs, S_xz that of outputs and labels, and U an orthonormal
    basis of the columns of S^-1/2 S_xz. Directions whose variance is at most `tolerance` of the largest are left alone.
    There is no shrinkage and no constraint on the trace, unlike in the paper's code.

    Raises SingularError if no direction predicts the labels, NonFiniteError if an entry is NaN or infinite.
    """
    require_finite("the outputs", outputs, labels)
    mean = outputs.mean(axis=0)
    centred, tags = outputs - mean, labels - labels.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(outputs))
    live = values > tolerance * values[-1]
    root, axes = np.sqrt(values[live]), vectors[:, live]
    left, size, _ = np.linalg.svd((axes.T @ (centred.T @ tags / len(outputs))) / root[:, None], full_matrices=False)
    predictive = size > tolerance * max(1.0, float(size[0]))
    if not predictive.any():
        raise SingularError(float("inf"))
    basis = left[:, predictive]
    return Eraser(axes @ (root[:, None] * basis), (basis / root[:, None]).T @ axes.T, mean)


def change_keeping_row_norms(W: Array, directions: Array, scale: float) -> Array:
    """Return the change (d_out, d_in) that removes `directions` (d_out, k) from W and keeps the norm of each row of W.

    Each row is scaled to length 1, `scale` times the directions are removed from the columns, and each row gets its old
    norm back. The change has full rank. Rows of zeros stay zero.
    """
    size = np.linalg.norm(W, axis=1, keepdims=True)
    safe = np.where(size > 0, size, 1.0)
    unit = W / safe
    unit = unit - scale * directions @ (directions.T @ unit)
    again = np.linalg.norm(unit, axis=1, keepdims=True)
    return np.asarray(size * unit / np.where(again > 0, again, 1.0) - W)


def _unit(vector: Array) -> Array:
    """Return `vector` (d,) at length 1, as a column (d, 1). Raises SingularError if it is zero."""
    size = float(np.linalg.norm(vector))
    if not size:
        raise SingularError(float("inf"))
    return (vector / size)[:, None]
