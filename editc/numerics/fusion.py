"""Several low-rank changes of one weight made one, each to act on its own inputs: MACE's last stage, in closed form.

With changes D_i = up_i down_i, inputs K_i (d, m_i) as columns, second moment of what is kept S (d, d):

    min over W'  sum_i |W' K_i - (W + D_i) K_i|^2 + tr((W' - W) S (W' - W)^T) + lamb |W' - W|^2
    W' = W + sum_i up_i down_i K_i K_i^T A^-1,   A = sum_i K_i K_i^T + S + lamb I

(Lu et al., CVPR 2024, arXiv 2403.06135, section 3.4, whose W' is a full matrix.) The left factors stay what they are, A
is the same for every layer that reads the same inputs, and the rank is at most the sum of the ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from editc.numerics import ridge
from editc.numerics.ridge import Array, Factor


def normal_factor(moments: Sequence[Array], kept: Array, lamb: float) -> Factor:
    """The factor of A from the K_i K_i^T and S, (d, d) each. Raises SingularError, NonFiniteError."""
    ridge.require_finite("the second moments", *moments, kept)
    empty = np.zeros((len(kept), 0))
    return ridge.factorise(ridge.normal_matrix(empty, np.zeros(0), np.sum([*moments, kept], axis=0), lamb))


def fuse_down(down: Array, moment: Array, factor: Factor) -> tuple[Array, float]:
    """down_i K_i K_i^T A^-1 (r, d), for down_i (r, d) and its K_i K_i^T; and the relative residual of the solve."""
    aim = moment @ down.T
    solved = factor.solve(aim)
    return np.ascontiguousarray(solved.T), ridge.residual(factor, solved, aim)
