"""ROME (Meng et al., NeurIPS 2022, arXiv 2202.05262): write facts into one matrix at the least cost to other text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from editc.core.delta import Array
from editc.core.language_problem import Memory
from editc.core.solution import Edit, Stats
from editc.numerics import memory as memories
from editc.numerics.ridge import SingularError, factorise
from editc.passes.methods.language.learned import LearnsValues


@dataclass(frozen=True)
class ROME(LearnsValues):
    """Write every fact exactly: D k_i = r_i with the least tr(D C D^T) (eq. 2 of the paper, for any number of facts).

    C is the second moment of ordinary text plus K_p K_p^T of the preserved keys K_p (d_in, p). One fact:
    D = r u^T / (k . u), u = C^-1 k. Several facts in one matrix are solved together and not summed.
    """

    works_on: ClassVar[str] = "memory"
    """What it is called with. A `Memory`: keys and values of one matrix."""
    solves: ClassVar[tuple[str, ...]] = ("fact",)
    """The kinds of edits that may name it."""
    single: ClassVar[bool] = True
    """It writes the whole edit into one matrix."""
    denominator: Literal["mean", "bare"] = "mean"
    """The key in the denominator k . u. `mean` (r-ROME, arXiv 2403.07175): the mean over contexts, as in u. `bare` (the
    original code): the key of the prompt alone. It lets an edit explode if k . u is near 0, and allows only one key:
    one fact, without `chat`."""
    covariance: bool = True
    """False puts the identity in place of the second moment of ordinary text, as in EasyEdit's configurations."""

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m. Raises SingularError if the keys depend on one another, ValueError if `bare` gets
        several keys, and NonFiniteError."""
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
    """The right factor u^T / (k0 . u), (1, d_in), for a single key, with k0 the bare prompt's key. `through`: u,
    (d_in, 1). Raises ValueError for several keys, SingularError if k0 . u is zero."""
    if memory.keys.shape[1] != 1:
        raise ValueError(
            "`denominator: bare` is for a single key: one fact, without `chat: true`; with several, take `mean`"
        )
    share = float(memory.bare[:, 0] @ through[:, 0])
    if abs(share) <= np.finfo(float).eps * float(np.linalg.norm(memory.bare) * np.linalg.norm(through)):
        raise SingularError(float("inf"))
    return np.asarray(through.T / share)
