"""Fuse several low-rank changes of one weight so that each acts on its own inputs: MACE's last stage, in closed form.

D_i = up_i down_i are the changes, the columns of K_i (d, m_i) the inputs on which D_i shall act, and S (d, d) the
second moment of what is preserved:

    min over W'  sum_i |W' K_i - (W + D_i) K_i|^2 + tr((W' - W) S (W' - W)^T) + lamb |W' - W|^2
    W' = W + sum_i up_i down_i K_i K_i^T A^-1,   A = sum_i K_i K_i^T + S + lamb I

Source: Lu et al., CVPR 2024, arXiv 2403.06135, section 3.4, where W' is a full matrix. Here the left factors up_i stay
as they are, A is the same for every layer that reads the same inputs, and the rank is at most the sum of the ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from editc.numerics import ridge
from editc.numerics.ridge import Array, Factor


def normal_factor(moments: Sequence[Array], preserved: Array, lamb: float) -> Factor:
    """Return the Cholesky factor of A (d, d), from the K_i K_i^T (`moments`) and S (`preserved`), (d, d) each.

    Raises SingularError if A is not positive definite, NonFiniteError if an entry is NaN or infinite.
    """
    ridge.require_finite("the second moments", *moments, preserved)
    empty = np.zeros((len(preserved), 0))
    return ridge.factorise(ridge.normal_matrix(empty, np.zeros(0), np.sum([*moments, preserved], axis=0), lamb))


def fuse_down(down: Array, moment: Array, factor: Factor) -> tuple[Array, float]:
    """Return the new right factor down_i K_i K_i^T A^-1 (r, d), and the relative residual of the solve.

    `down` is down_i (r, d), `moment` is K_i K_i^T (d, d), and `factor` is the factor of A.
    """
    aim = moment @ down.T
    solved = factor.solve(aim)
    return np.ascontiguousarray(solved.T), ridge.residual(factor, solved, aim)
