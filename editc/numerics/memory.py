"""A matrix as a linear memory, W k = v, and the smallest change that makes it hold new pairs.

Keys K (d_in, m), wanted changes of the output R (d_out, m), moment of the keys of ordinary text C (d_in, d_in). Every
solution is R times a right factor (m, d_in), which is what these functions return: W and R do not enter.

    held       min tr(D C D^T)                  with D K = R          ROME (arXiv 2202.05262, eq. 2) for any m; EMMET
    weighed    min lamb tr(D C D^T) + |D K - R|^2                     MEMIT (arXiv 2210.07229, eq. 14)
    confined   min |D K - R|^2 + |D K_p|^2 + l2 |D|^2  over D = D P   AlphaEdit (arXiv 2410.02355)

The first is the second for lamb -> 0. All go through systems of m equations; nothing is inverted.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.ridge import Factor, factorise, require_finite

Array: TypeAlias = NDArray[np.float64]


def right_factor(keys: Array, moment: Factor, lamb: float) -> tuple[Array, Factor]:
    """The right factor K^T (lamb C + K K^T)^-1 (m, d_in), and the factor of lamb I + K^T C^-1 K that it came from.

    `moment` is the Cholesky factor of C. lamb = 0 holds every pair exactly. Raises SingularError where keys depend on
    one another (for lamb = 0), NonFiniteError.
    """
    require_finite("the keys", keys)
    through = moment.solve(keys)
    small = keys.T @ through
    small = (small + small.T) / 2
    small[np.diag_indices_from(small)] += lamb
    factor = factorise(small)
    return factor.solve(through.T), factor


def confined_right_factor(keys: Array, earlier: Array, basis: Array, l2: float) -> tuple[Array, Factor]:
    """The right factor (m, d_in) of the least change within the orthonormal columns of `basis` (d_in, k) that sends
    `keys` where they should go and leaves `earlier` (d_in, p) where it is, both weighed against l2 > 0."""
    require_finite("the keys", keys, earlier)
    inside = basis.T @ np.hstack([keys, earlier])
    small = inside.T @ inside
    small[np.diag_indices_from(small)] += l2
    factor = factorise(small)
    chosen = np.eye(inside.shape[1], keys.shape[1])
    return factor.solve(chosen).T @ inside.T @ basis.T, factor


def quiet_basis(moment: Array, threshold: float | None = None, energy: float | None = None) -> Array:
    """Orthonormal columns (d, k) of the eigenvectors of C that ordinary text hardly uses: eigenvalues less than
    `threshold`, or the smallest ones that together hold at most the share `energy` of the trace."""
    require_finite("the moment", moment)
    values, vectors = np.linalg.eigh(moment)
    if energy is None:
        count = int(np.count_nonzero(values < (0.0 if threshold is None else threshold)))
    else:
        count = int(np.count_nonzero(np.cumsum(values) <= energy * values.sum()))
    return np.ascontiguousarray(vectors[:, :count])


def interference(keys: Array, moment: Factor) -> Array:
    """Cosines (m, m) of the keys in the metric C^-1: how far an edit of one also moves the answer of another."""
    gram = keys.T @ moment.solve(keys)
    size = np.sqrt(np.diag(gram))
    return np.asarray(gram / np.outer(size, size))
