"""Directions of the residual stream that carry a concept, and matrices that no longer write along them.

Outputs of prompts that carry the concept, X (n, d), and of prompts that do not, Y (n', d).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.ridge import SingularError, require_finite

Array: TypeAlias = NDArray[np.float64]

SAME = 1e-8
"""Directions of two concepts that differ by less are one."""


def difference(present: Array, absent: Array) -> Array:
    """The unit vector (d, 1) from the mean of `absent` to the mean of `present` (arXiv 2406.11717).

    Raises SingularError where the means are equal.
    """
    require_finite("the outputs", present, absent)
    return _unit(present.mean(axis=0) - absent.mean(axis=0))


def projected_difference(present: Array, absent: Array) -> Array:
    """`difference` without its part along the mean of `absent`, which ordinary text needs; (d, 1)."""
    direction, mean = difference(present, absent), _unit(absent.mean(axis=0))
    return _unit((direction - mean * (mean.T @ direction))[:, 0])


def subspace(present: Array, absent: Array, count: int, projected: bool = False) -> Array:
    """The `count` leading directions (d, count), orthonormal, of what `present` has beyond the mean of `absent`; when
    `project_out`, none has a part along that mean."""
    require_finite("the outputs", present, absent)
    beyond, mean = present - absent.mean(axis=0), absent.mean(axis=0)
    if projected:
        mean = _unit(mean)[:, 0]
        beyond = beyond - np.outer(beyond @ mean, mean)
    left, values, _ = np.linalg.svd(beyond.T, full_matrices=False)
    if len(values) < count or values[count - 1] <= np.finfo(float).eps * values[0]:
        raise SingularError(float("inf"))
    return np.ascontiguousarray(left[:, :count])


def joint_basis(bases: Sequence[Array]) -> Array:
    """An orthonormal basis (d, k) of what bases (d, k_i) span together; one alone is its own."""
    if len(bases) == 1:
        return bases[0]
    left, values, _ = np.linalg.svd(np.hstack(bases), full_matrices=False)
    return np.ascontiguousarray(left[:, values > SAME * values[0]])


@dataclass(frozen=True)
class Eraser:
    """The map x -> x - left right (x - mean), which erases a concept."""

    left: Array
    """(d, r)."""
    right: Array
    """(r, d)."""
    mean: Array
    """(d,)."""


def leace(outputs: Array, labels: Array, tolerance: float = 1e-12) -> Eraser:
    """The least change of `outputs` (n, d) after which nothing linear tells `labels` (n, c) better than a constant.

    left = S^1/2 U, right = U^T S^-1/2, U an orthonormal basis of the columns of S^-1/2 S_xz (arXiv 2306.03819,
    theorem 4.3); directions in which outputs do not vary (below `tolerance` of the largest variance) are left alone.
    No shrinkage and no constraint on the trace. Raises SingularError where no direction tells the labels.
    """
    require_finite("the outputs", outputs, labels)
    mean = outputs.mean(axis=0)
    centred, tags = outputs - mean, labels - labels.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(outputs))
    live = values > tolerance * values[-1]
    root, axes = np.sqrt(values[live]), vectors[:, live]
    left, size, _ = np.linalg.svd((axes.T @ (centred.T @ tags / len(outputs))) / root[:, None], full_matrices=False)
    told = size > tolerance * max(1.0, float(size[0]))
    if not told.any():
        raise SingularError(float("inf"))
    basis = left[:, told]
    return Eraser(axes @ (root[:, None] * basis), (basis / root[:, None]).T @ axes.T, mean)


def same_row_norms(W: Array, directions: Array, scale: float) -> Array:
    """The change (d_out, d_in) that takes `directions` (d_out, k) out of W's rows made unit, and gives each row its
    norm back: of full rank. Rows of zeros stay."""
    size = np.linalg.norm(W, axis=1, keepdims=True)
    safe = np.where(size > 0, size, 1.0)
    unit = W / safe
    unit = unit - scale * directions @ (directions.T @ unit)
    again = np.linalg.norm(unit, axis=1, keepdims=True)
    return np.asarray(size * unit / np.where(again > 0, again, 1.0) - W)


def _unit(vector: Array) -> Array:
    size = float(np.linalg.norm(vector))
    if not size:
        raise SingularError(float("inf"))
    return (vector / size)[:, None]
