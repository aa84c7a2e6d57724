"""ROME (Meng et al., NeurIPS 2022, arXiv 2202.05262): one matrix holds new facts, at the least cost to other text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from editc.core.delta import Array
from editc.core.network import Memory
from editc.core.solution import Edit, Stats
from editc.numerics import memory as memories
from editc.numerics.ridge import SingularError, factorise


@dataclass(frozen=True)
class ROME:
    """Every fact exactly: D k_i = r_i for the least tr(D C D^T) (eq. 2 of the paper, for any number of facts at once).

    One fact: D = r u^T / (k . u), u = C^-1 k. Several in one matrix are solved together and not summed. C is the moment
    of ordinary text plus K_p K_p^T, K_p the keys that are kept.

    denominator: `mean` (r-ROME, arXiv 2403.07175) takes the mean key over contexts in both places; `bare`, the original
        code, divides by the bare prompt's key, which lets an edit explode where k . u comes near 0; one key only: one
        fact, without `chat`.
    covariance: off, C is the identity, as EasyEdit's configurations have it.
    """

    works_on: ClassVar[str] = "memory"
    solves: ClassVar[tuple[str, ...]] = ("fact",)
    single: ClassVar[bool] = True
    denominator: Literal["mean", "bare"] = "mean"
    covariance: bool = True

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m; raises SingularError (keys depend on one another) and NonFiniteError."""
        known = memory if self.covariance else replace(memory, moment=np.eye(len(memory.keys)))
        moment = factorise(known.weighted_moment())
        if self.denominator == "bare":
            right = _bare_right_factor(memory, moment.solve(memory.keys))
            return Edit("low-rank", (memory.residuals,), (right,), Stats(moment.condition, 0.0, 1))
        right, factor = memories.right_factor(memory.keys, moment, 0.0)
        worst = max(moment.condition, factor.condition)
        off = float(np.abs(right @ memory.keys - np.eye(len(right))).max())
        return Edit("low-rank", (memory.residuals,), (right,), Stats(worst, off, len(right)))


def _bare_right_factor(memory: Memory, through: Array) -> Array:
    """u^T / (k0 . u) for the one key that there is."""
    if memory.keys.shape[1] != 1:
        raise ValueError(
            "`denominator: bare` is for a single key: one fact, without `chat: true`; with several, take `mean`"
        )
    share = float(memory.bare[:, 0] @ through[:, 0])
    if abs(share) <= np.finfo(float).eps * float(np.linalg.norm(memory.bare) * np.linalg.norm(through)):
        raise SingularError(float("inf"))
    return np.asarray(through.T / share)
