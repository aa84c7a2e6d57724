"""EMMET (Gupta et al., EMNLP 2024, arXiv 2403.14236): ROME's equality constraint for a batch of facts, relaxed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from editc.core.language_problem import Memory
from editc.core.solution import Edit, Stats
from editc.numerics import memory as memories
from editc.numerics.ridge import factorise
from editc.passes.methods import require_at_least_zero
from editc.passes.methods.language.learned import LearnsValues


@dataclass(frozen=True)
class EMMET(LearnsValues):
    """Write a batch of facts into one matrix: the residuals R (d_out, m) at the keys K (d_in, m).

    D = R (K^T C^-1 K + relax I)^-1 K^T C^-1

    C is the second moment of ordinary text plus K_p K_p^T of the preserved keys, as in `rome`.
    """

    works_on: ClassVar[str] = "memory"
    """What it is called with. A `Memory`: keys and values of one matrix."""
    solves: ClassVar[tuple[str, ...]] = ("fact",)
    """The kinds of edits that may name it."""
    single: ClassVar[bool] = True
    """It writes the whole edit into one matrix."""
    relax: float = 0.1
    """Added to the diagonal of the m x m system, for keys that depend on one another (published: 0.1). 0 is `rome`."""
    moment_scale: float = 1.0
    """Factor of C (published as mom2_update_weight)."""

    def __post_init__(self) -> None:
        require_at_least_zero(relax=self.relax, moment_scale=self.moment_scale)

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m; raises SingularError and NonFiniteError."""
        moment = factorise(self.moment_scale * memory.weighted_moment())
        right, factor = memories.right_factor(memory.keys, moment, self.relax)
        return Edit("low-rank", (memory.residuals,), (right,), Stats(factor.condition, 0.0, len(right)))
