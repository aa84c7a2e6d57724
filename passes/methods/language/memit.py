"""MEMIT (Meng et al., ICLR 2023, arXiv 2210.07229): many facts, spread over several layers, weighed against text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from editc.core.network import Memory
from editc.core.solution import Edit, Stats
from editc.numerics import memory as memories
from editc.numerics.ridge import factorise
from editc.passes.methods import require_at_least_zero


@dataclass(frozen=True)
class MEMIT:
    """D = R K^T (lamb C + K K^T)^-1 (eq. 14 of the paper), layer by layer, each with the share of what is then left.

    C has K_p K_p^T added, as in `rome`.

    lamb: how many tokens' worth of ordinary text stand against each fact. Published: 15,000 (GPT-J, 7B models), 20,000
        (GPT-2 XL), which on a 135M model leaves facts unlearned; 3,000 here.
    """

    works_on: ClassVar[str] = "memory"
    solves: ClassVar[tuple[str, ...]] = ("fact",)
    single: ClassVar[bool] = False
    lamb: float = 3000.0

    def __post_init__(self) -> None:
        require_at_least_zero(lamb=self.lamb)

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m; raises SingularError and NonFiniteError."""
        right, factor = memories.right_factor(memory.keys, factorise(memory.weighted_moment()), self.lamb)
        return Edit("low-rank", (memory.residuals,), (right,), Stats(factor.condition, 0.0, len(right)))
