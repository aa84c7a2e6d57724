"""Joint (Wang et al., ICML 2026, arXiv 2605.26670): facts written one request after another come to what all at once
would be."""

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
class Joint(LearnsValues):
    """Write facts as `memit` does, with every constraint of earlier edits still in the system.

    D = R K^T (lamb C + K_p K_p^T + K K^T)^-1

    K_p (d_in, p) are the preserved keys, those of earlier edits among them. Each weighs as much as a fact, where
    `memit` weighs it like `lamb` facts. R (d_out, m) is what the model as it is now still lacks at the keys K
    (d_in, m). Then the changes D_i of t requests, one after another, add up to what solves all of them at once. This
    is recursive least squares: with A_t = lamb C + sum of K_i K_i^T and V_i the whole values of request i,
    (D_1 + ... + D_t) A_t = (D_1 + ... + D_(t-1)) A_(t-1) + V_t K_t^T. The theorem holds for one matrix; keys above an
    edited layer move a little.
    """

    works_on: ClassVar[str] = "memory"
    """What it is called with. A `Memory`: keys and values of one matrix."""
    solves: ClassVar[tuple[str, ...]] = ("fact",)
    """The kinds of edits that may name it."""
    single: ClassVar[bool] = False
    """It spreads the edit over several layers."""
    holds_means: ClassVar[bool] = True
    """It holds the keys of earlier edits as these were solved: see `HoldsMeans`."""
    lamb: float = 3000.0
    """How many tokens of ordinary text weigh as much as one fact, as in `memit`."""

    def __post_init__(self) -> None:
        require_at_least_zero(lamb=self.lamb)

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m; raises SingularError and NonFiniteError."""
        moment = factorise(self.lamb * memory.moment + memory.preserved @ memory.preserved.T)
        right, factor = memories.right_factor(memory.keys, moment, 1.0)
        return Edit("low-rank", (memory.residuals,), (right,), Stats(factor.condition, 0.0, len(right)))
