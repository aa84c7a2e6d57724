"""EvoEdit (ACL 2026 findings, arXiv 2510.13851): write facts in a null space that evolves with each request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from editc.core.language_problem import Memory
from editc.core.solution import Edit, Stats
from editc.numerics import memory as memories
from editc.numerics.nullspace import NoFreeDirectionError
from editc.passes.methods import require_at_least_zero
from editc.passes.methods.language.learned import LearnsValues


@dataclass(frozen=True)
class EvoEdit(LearnsValues):
    """Write the residuals R (d_out, m) at the keys K (d_in, m), and nothing at the keys of earlier edits.

    D = R (K^T P K + l2 I)^-1 K^T P

    P projects on the quiet directions of C, the second moment of ordinary text, as in `alphaedit`, without what the
    preserved keys K_p (d_in, p) span in them: P = P_0 - Q Q^T, Q the left singular vectors of P_0 K_p whose singular
    value is above `tau` times the largest. So what an earlier edit wrote stays exactly, where `alphaedit` weighs it.
    Taking the keys of earlier requests out one request after another gives the same P as taking them out together.
    """

    works_on: ClassVar[str] = "memory"
    """What it is called with. A `Memory`: keys and values of one matrix."""
    solves: ClassVar[tuple[str, ...]] = ("fact",)
    """The kinds of edits that may name it."""
    single: ClassVar[bool] = False
    """It spreads the edit over several layers."""
    holds_means: ClassVar[bool] = True
    """It holds the keys of earlier edits as these were solved: see `HoldsMeans`."""
    energy: float = 0.1
    """The share of C's trace in the quiet directions, as in `alphaedit`; more than 0 and at most 1."""
    threshold: float = 0.0
    """Above 0: the eigenvalue below which a direction is quiet, in place of `energy` (published: 2e-2)."""
    l2: float = 1.0
    """Ridge on D (published: 1)."""
    tau: float = 1e-3
    """How large a singular value of the preserved keys must be, as a share of the largest, for its direction to be
    taken out. Every edit takes as many directions as it has keys, until none is left."""

    def __post_init__(self) -> None:
        require_at_least_zero(threshold=self.threshold, l2=self.l2, tau=self.tau)
        if not 0 < self.energy <= 1:
            raise ValueError(f"`energy` is {self.energy}: it is a share, more than 0 and at most 1")

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m. Raises NoFreeDirectionError if no direction is left, SingularError,
        NonFiniteError."""
        quiet = memories.null_space_basis(memory.moment, self.threshold, None if self.threshold else self.energy)
        right, factor, left = memories.evolved_right_factor(memory.keys, memory.preserved, quiet, self.l2, self.tau)
        if not left:
            raise NoFreeDirectionError(len(memory.moment))
        return Edit("low-rank", (memory.residuals,), (right,), Stats(factor.condition, 0.0, len(right)))
