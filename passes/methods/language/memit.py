"""MEMIT (Meng et al., ICLR 2023, arXiv 2210.07229): many facts, spread over several layers and weighed against ordinary
text."""

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
class MEMIT(LearnsValues):
    """Write facts layer by layer: at the keys K (d_in, m) the residuals R (d_out, m), an equal share of what the layers
    still have to change.

    D = R K^T (lamb C + K K^T)^-1 (eq. 14 of the paper)

    C is the second moment of ordinary text plus K_p K_p^T of the preserved keys, as in `rome`.
    """

    works_on: ClassVar[str] = "memory"
    """What it is called with. A `Memory`: keys and values of one matrix."""
    solves: ClassVar[tuple[str, ...]] = ("fact",)
    """The kinds of edits that may name it."""
    single: ClassVar[bool] = False
    """It spreads the edit over several layers."""
    lamb: float = 3000.0
    """How many tokens of ordinary text weigh as much as one fact. Published: 15,000 (GPT-J, 7B models) and 20,000
    (GPT-2 XL). On a 135M model these leave facts unlearned."""

    def __post_init__(self) -> None:
        require_at_least_zero(lamb=self.lamb)

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m; raises SingularError and NonFiniteError."""
        right, factor = memories.right_factor(memory.keys, factorise(memory.weighted_moment()), self.lamb)
        return Edit("low-rank", (memory.residuals,), (right,), Stats(factor.condition, 0.0, len(right)))
