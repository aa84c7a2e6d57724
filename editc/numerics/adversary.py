"""Find the keys that an edited model still reads as the erased concept: RECE (arXiv 2407.12383, eq. 8).

C (d, m) are the concept's keys, T (d, m) their targets. W_l are the edited matrices, W_l,0 the same before the edit.
G = sum_l W_l^T W_l and H = sum_l W_l^T W_l,0, both (d, d), sum over all edited matrices.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.ridge import factorise, require_finite

Array: TypeAlias = NDArray[np.float64]
Regulariser: TypeAlias = Literal["regzero", "standard", "surrogate1", "surrogate2", "surrogate_both"]
"""The names of the penalties that `derive` describes."""


def derive(keys: Array, targets: Array, gram: Array, cross: Array, r: float, rule: Regulariser) -> Array:
    """Return the keys C' (d, m) that minimise sum_l |W_l C' - W_l,0 C|^2 plus the penalty of `rule`.

    `keys` is C, `targets` is T, `gram` is G, `cross` is H. The penalties:

    regzero         r |C'|^2
    standard        r |C' - T|^2
    surrogate1      r sum_l |W_l C' - W_l C|^2, the "1st" item in RECE's code
    surrogate2      r |C' - C|^2, its "2nd" item
    surrogate_both  both

    Raises NonFiniteError, and SingularError if the penalty adds no ridge and the matrices leave some direction unread.
    """
    require_finite("the keys or the weights", keys, gram, cross)
    if rule == "regzero":
        return derive_least(cross @ keys, gram, r)
    if rule == "standard":
        return factorise(_add_ridge(gram, r)).solve(r * targets + cross @ keys)
    if rule == "surrogate1":
        return factorise((1 + r) * gram).solve((cross + r * gram) @ keys)
    if rule == "surrogate2":
        return factorise(_add_ridge(gram, r)).solve(_add_ridge(cross, r) @ keys)
    return factorise(_add_ridge((1 + r) * gram, r)).solve(_add_ridge(cross + r * gram, r) @ keys)


def derive_least(pulled: Array, gram: Array, r: float) -> Array:
    """Return the keys C' (d, m) of the penalty `regzero`, from `pulled`, which is H C (d, m)."""
    return factorise(_add_ridge(gram, r)).solve(pulled)


def _add_ridge(square: Array, r: float) -> Array:
    """Return `square` + r I, (d, d)."""
    found = square.copy()
    found[np.diag_indices_from(found)] += r
    return found
