"""Treat a matrix as a linear memory, W k = v, and find the smallest change D that makes it store new pairs.

The columns of K (d_in, m) are the keys, those of R (d_out, m) the wanted changes of their values. C (d_in, d_in) is the
second moment of the keys of ordinary text. Every solution is D = R F with a right factor F (m, d_in). These functions
return F, which depends on neither W nor R.

    exact      min tr(D C D^T)                  with D K = R          ROME (arXiv 2202.05262, eq. 2) for any m; EMMET
    weighed    min lamb tr(D C D^T) + |D K - R|^2                     MEMIT (arXiv 2210.07229, eq. 14)
    confined   min |D K - R|^2 + |D K_p|^2 + l2 |D|^2  over D = D P   AlphaEdit (arXiv 2410.02355)
    evolved    min |D K - R|^2 + l2 |D|^2  over D = D P, D K_p = 0    EvoEdit (arXiv 2510.13851)

K_p are the keys of earlier edits, and P projects on the null space of ordinary text's keys. `right_factor` solves the
first two (the first has lamb = 0), `confined_right_factor` the third, `evolved_right_factor` the fourth. Each solves a
system with one equation a key, and no matrix is inverted.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.ridge import Factor, factorise, require_finite

Array: TypeAlias = NDArray[np.float64]

ROUNDING = 1e-12
"""Singular values of at most this share of the largest are rounding. Chosen by hand, above float64's own (1e-16)."""


def right_factor(keys: Array, moment: Factor, lamb: float) -> tuple[Array, Factor]:
    """Return the right factor K^T (lamb C + K K^T)^-1 (m, d_in), and the Cholesky factor of lamb I + K^T C^-1 K (m, m).

    `keys` is K (d_in, m), `moment` the Cholesky factor of C. lamb = 0 stores every pair exactly. Raises SingularError
    if lamb = 0 and the keys are linearly dependent, NonFiniteError if a key is NaN or infinite.
    """
    require_finite("the keys", keys)
    through = moment.solve(keys)
    small = keys.T @ through
    small = (small + small.T) / 2
    small[np.diag_indices_from(small)] += lamb
    factor = factorise(small)
    return factor.solve(through.T), factor


def confined_right_factor(keys: Array, earlier: Array, basis: Array, l2: float) -> tuple[Array, Factor]:
    """Return the right factor (m, d_in) of the confined problem, and the Cholesky factor of its system.

    `keys` is K (d_in, m), `earlier` is K_p (d_in, p), and P = basis basis^T with orthonormal columns (d_in, k). l2 > 0
    weighs the size of the change. Raises SingularError if the system is too badly conditioned, NonFiniteError if a key
    is NaN or infinite.
    """
    require_finite("the keys", keys, earlier)
    inside = basis.T @ np.hstack([keys, earlier])
    small = inside.T @ inside
    small[np.diag_indices_from(small)] += l2
    factor = factorise(small)
    chosen = np.eye(inside.shape[1], keys.shape[1])
    return factor.solve(chosen).T @ inside.T @ basis.T, factor


def null_space_basis(moment: Array, threshold: float | None = None, energy: float | None = None) -> Array:
    """Return orthonormal columns (d, k) that span the near null space of C (d, d), which ordinary text hardly uses.

    They are the eigenvectors with an eigenvalue below `threshold`. If `energy` is given, they are those of the smallest
    eigenvalues whose sum is at most that share of the trace. Raises NonFiniteError if an entry is NaN or infinite.
    """
    require_finite("the moment", moment)
    values, vectors = np.linalg.eigh(moment)
    if energy is None:
        count = int(np.count_nonzero(values < (0.0 if threshold is None else threshold)))
    else:
        count = int(np.count_nonzero(np.cumsum(values) <= energy * values.sum()))
    return np.ascontiguousarray(vectors[:, :count])


def evolved_right_factor(keys: Array, earlier: Array, basis: Array, l2: float, tau: float) -> tuple[Array, Factor, int]:
    """Return the right factor (K^T P K + l2 I)^-1 K^T P (m, d_in), the Cholesky factor of its system, and how many
    directions are left in P.

    P = basis basis^T - Q Q^T, where the columns of `basis` (d_in, k) are orthonormal and Q are the directions within it
    that the keys K_p (d_in, p) of earlier edits use: left singular vectors of P_0 K_p whose singular value is above
    `tau` times the largest, and above rounding. Raises SingularError and NonFiniteError.
    """
    require_finite("the keys", keys, earlier)
    inside, used = basis.T @ keys, used_directions(basis.T @ earlier, tau)
    inside = inside - used @ (used.T @ inside)
    small = inside.T @ inside
    small[np.diag_indices_from(small)] += l2
    factor = factorise(small)
    return factor.solve(inside.T) @ basis.T, factor, basis.shape[1] - used.shape[1]


def used_directions(columns: Array, tau: float) -> Array:
    """Return orthonormal directions (d, r) that the columns (d, p) span, without those whose singular value is at most
    `tau` times the largest, or rounding."""
    if not columns.size:
        return columns[:, :0]
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, values > max(tau, ROUNDING) * values[0]])


def leading_directions(weight: Array, share: float) -> Array:
    """Return the fewest leading right singular vectors (d_in, r) of W (d_out, d_in), each row at length 1, that hold at
    least `share` of its energy. Rows of zeros stay zero. Raises NonFiniteError."""
    require_finite("the matrix", weight)
    size = np.linalg.norm(weight, axis=1, keepdims=True)
    _, values, right = np.linalg.svd(weight / np.where(size > 0, size, 1.0), full_matrices=False)
    energy = np.cumsum(values**2)
    return np.ascontiguousarray(right[: int(np.searchsorted(energy, share * energy[-1])) + 1].T)


def interference(keys: Array, moment: Factor) -> Array:
    """Return the cosines (m, m) between keys (d, m) in the metric C^-1, where `moment` is the Cholesky factor of C.

    They say how far an edit at one key also changes the answer at another: 0 not at all; at 1 both keys are one
    direction.
    """
    return cosines(keys.T @ moment.solve(keys))


def cosines(gram: Array) -> Array:
    """Return the cosines (m, m) of vectors from their scalar products (m, m)."""
    size = np.sqrt(np.diag(gram))
    return np.asarray(gram / np.outer(size, size))
