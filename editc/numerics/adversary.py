"""RECE's derived embedding: the keys that an edited model still reads as the erased concept (arXiv 2407.12383, eq. 8).

G = sum_l W_l^T W_l and H = sum_l W_l^T W_l,0 over every edited projection, both (d, d); C the concept's keys (d, m).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.ridge import factorise, require_finite

Array: TypeAlias = NDArray[np.float64]
Regulariser: TypeAlias = Literal["regzero", "standard", "surrogate1", "surrogate2", "surrogate_both"]


def derive(keys: Array, targets: Array, gram: Array, cross: Array, r: float, rule: Regulariser) -> Array:
    """C' (d, m) minimising sum_l |W_l C' - W_l,0 C|^2 plus the rule's penalty.

    regzero         r |C'|^2
    standard        r |C' - T|^2
    surrogate1      r |W C' - W C|^2 over layers, the reference's "1st" item
    surrogate2      r |C' - C|^2, its "2nd"
    surrogate_both  both
    Raises SingularError where the rule has no ridge and the projections do not span d.
    """
    require_finite("the keys or the weights", keys, gram, cross)
    if rule == "regzero":
        return factorise(_add_ridge(gram, r)).solve(cross @ keys)
    if rule == "standard":
        return factorise(_add_ridge(gram, r)).solve(r * targets + cross @ keys)
    if rule == "surrogate1":
        return factorise((1 + r) * gram).solve((cross + r * gram) @ keys)
    if rule == "surrogate2":
        return factorise(_add_ridge(gram, r)).solve(_add_ridge(cross, r) @ keys)
    return factorise(_add_ridge((1 + r) * gram, r)).solve(_add_ridge(cross + r * gram, r) @ keys)


def _add_ridge(square: Array, r: float) -> Array:
    """A + r I."""
    found = square.copy()
    found[np.diag_indices_from(found)] += r
    return found
