"""The joint ridge problem that UCE, MACE and TRCE share, and the parts of it that other methods use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from editc.core.delta import Array
from editc.core.problem import Block, System
from editc.core.solution import Edit, Stats
from editc.numerics import chain, ridge
from editc.passes.methods import require_at_least_zero


@dataclass(frozen=True)
class JointRidge:
    """The problem of UCE and of the first stages of MACE and TRCE. These differ only in the rows that their key rules
    give.

    W' = W (I + (T - C) A C^T G^-1),  G = C A C^T + preserve_scale S + lamb I

    With keys C and targets T (d_in, m), weights A = erase_scale diag(a), S the second moment (d_in, d_in) of the
    preserved rows.
    """

    lamb: float | None = None
    """Ridge towards the old weights. Left out: the key rule's ridge."""
    erase_scale: float = 1.0
    """Weight of the edited keys (published: 1)."""
    preserve_scale: float = 1.0
    """Weight of the preserved rows."""

    def __post_init__(self) -> None:
        require_at_least_zero(lamb=self.lamb, erase_scale=self.erase_scale, preserve_scale=self.preserve_scale)

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks; raises SingularError or NonFiniteError."""
        solved = self.solve(system)
        return Edit("shared", (solved.left,), (solved.right,), solution_stats(solved))

    def solve(self, system: System, per_key: bool = False) -> ridge.Multiplier:
        """The solution of all blocks together. `per_key`: as in `ridge.solve`."""
        lamb = system.ridge if self.lamb is None else self.lamb
        moment = self.preserve_scale * system.preserved.moment
        return chain.solve(chain_links(system.blocks, self.erase_scale), moment, lamb, per_key, system.cache)


def solution_stats(solved: ridge.Multiplier) -> Stats:
    """Condition number, residual and rank of a solution, for the report."""
    return Stats(solved.factor.condition, solved.residual, len(solved.right))


def stack_blocks(blocks: Sequence[Block], scale: float) -> tuple[Array, Array, Array]:
    """The keys and targets (d_in, m) of all blocks side by side, and their weights (m,) times `scale`. The strength of
    a block is applied to its targets. Raises NonFiniteError."""
    ridge.require_finite("the keys or targets", *(part for block in blocks for part in (block.keys, block.targets)))
    keys = np.hstack([block.keys for block in blocks])
    targets = np.hstack([ridge.interpolate_targets(block.keys, block.targets, block.strength) for block in blocks])
    return keys, targets, scale * np.concatenate([block.weights for block in blocks])


def chain_links(blocks: Sequence[Block], scale: float) -> list[chain.WeightedBlock]:
    """The blocks as the links of `numerics.chain`, with their strength applied and their weights times `scale`. Raises
    NonFiniteError."""
    ridge.require_finite("the keys or targets", *(part for block in blocks for part in (block.keys, block.targets)))
    return [
        chain.WeightedBlock(b.keys, ridge.interpolate_targets(b.keys, b.targets, b.strength), scale * b.weights)
        for b in blocks
    ]
