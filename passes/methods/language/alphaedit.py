"""AlphaEdit (Fang et al., ICLR 2025, arXiv 2410.02355): facts written where ordinary text hardly reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from editc.core.network import Memory
from editc.core.solution import Edit, Stats
from editc.numerics import memory as memories
from editc.numerics.nullspace import NoFreeDirectionError
from editc.passes.methods import require_at_least_zero


@dataclass(frozen=True)
class AlphaEdit:
    """D = R K^T P (P (K K^T + K_p K_p^T) P + l2 I)^-1 P, P the projector on the quiet directions of C.

    K_p are the keys that are kept (of earlier edits, say), whose outputs then stay as they are. D moves nothing along
    the other directions at all.

    energy: the quiet directions are the smallest eigenvalues that together hold at most this share of C's trace, more
        than 0 and at most 1: it means the same in every model and layer, as its authors advise where the threshold is
        asked about.
    threshold: eigenvalues less than this instead (published: 2e-2, absolute; 0 leaves it to `energy`).
    l2: ridge on D (published: 10; 1 in some configurations).
    """

    works_on: ClassVar[str] = "memory"
    solves: ClassVar[tuple[str, ...]] = ("fact",)
    single: ClassVar[bool] = False
    energy: float = 0.1
    threshold: float = 0.0
    l2: float = 1.0

    def __post_init__(self) -> None:
        require_at_least_zero(threshold=self.threshold, l2=self.l2)
        if not 0 < self.energy <= 1:
            raise ValueError(f"`energy` is {self.energy}: it is a share, more than 0 and at most 1")

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m.

        Raises NoFreeDirectionError (no direction is quiet), SingularError, NonFiniteError.
        """
        share = None if self.threshold else self.energy
        basis = memories.null_space_basis(memory.moment, self.threshold, share)
        if not basis.shape[1]:
            raise NoFreeDirectionError(len(memory.moment))
        right, factor = memories.confined_right_factor(memory.keys, memory.kept, basis, self.l2)
        return Edit("low-rank", (memory.residuals,), (right,), Stats(factor.condition, 0.0, len(right)))
