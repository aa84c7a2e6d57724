"""AlphaEdit (Fang et al., ICLR 2025, arXiv 2410.02355): write facts along directions that ordinary text hardly uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from editc.core.language_problem import Memory
from editc.core.solution import Edit, Stats
from editc.numerics import memory as memories
from editc.numerics.nullspace import NoFreeDirectionError
from editc.passes.methods import require_at_least_zero, require_share
from editc.passes.methods.language.learned import LearnsValues

SPHERE_ENERGY = 0.5
"""The share of W's energy in the directions that `sphere` spares, as published (SPHERE, ICLR 2026)."""


@dataclass(frozen=True)
class AlphaEdit(LearnsValues):
    """Write the residuals R (d_out, m) at the keys K (d_in, m), only along directions that ordinary text hardly uses.

    D = R K^T P (P (K K^T + K_p K_p^T) P + l2 I)^-1 P

    P projects on the quiet directions of C, the second moment of ordinary text: those with small eigenvalues. D changes
    nothing along the other directions. K_p (d_in, p) are the preserved keys, such as those of earlier edits; their
    outputs stay.
    """

    works_on: ClassVar[str] = "memory"
    """What it is called with. A `Memory`: keys and values of one matrix."""
    solves: ClassVar[tuple[str, ...]] = ("fact",)
    """The kinds of edits that may name it."""
    single: ClassVar[bool] = False
    """It spreads the edit over several layers."""
    energy: float = 0.1
    """The quiet directions are those with the smallest eigenvalues that together hold at most this share of C's trace;
    more than 0 and at most 1. A share means the same in every model and layer; the authors advise it when they are
    asked about the threshold."""
    threshold: float = 0.0
    """Above 0: the quiet directions are those with eigenvalues below this number instead (published: 2e-2). 0: `energy`
    decides."""
    l2: float = 1.0
    """Ridge on D (published: 10; 1 in some configurations)."""

    sphere: float = 0.0
    """Above 0: take this share of the change out of the directions that W itself uses most, so that the spread of its
    rows stays: D (I - sphere U U^T), U the leading right singular vectors of W with rows of length 1 that hold half of
    its energy (SPHERE, ICLR 2026; published: 0.5). At most 1."""

    def __post_init__(self) -> None:
        require_at_least_zero(threshold=self.threshold, l2=self.l2, sphere=self.sphere)
        require_share(sphere=self.sphere)
        if not 0 < self.energy <= 1:
            raise ValueError(f"`energy` is {self.energy}: it is a share, more than 0 and at most 1")

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m. Raises NoFreeDirectionError if no direction is quiet, SingularError,
        NonFiniteError."""
        share = None if self.threshold else self.energy
        basis = memories.null_space_basis(memory.moment, self.threshold, share)
        if not basis.shape[1]:
            raise NoFreeDirectionError(len(memory.moment))
        right, factor = memories.confined_right_factor(memory.keys, memory.preserved, basis, self.l2)
        if self.sphere:
            used = memories.leading_directions(memory.weight, SPHERE_ENERGY)
            right = right - self.sphere * (right @ used) @ used.T
        return Edit("low-rank", (memory.residuals,), (right,), Stats(factor.condition, 0.0, len(right)))
