"""The joint ridge problem that UCE, MACE and TRCE share, and what other methods take from it."""

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
    """The problem of UCE and of the first stages of MACE and TRCE, which differ in the rows that their key rules give.

    W' = W (I + (T - C) A C^T G^-1),  G = C A C^T + preserve_scale S + lamb I; each method says what its options mean.
    """

    lamb: float | None = None
    erase_scale: float = 1.0
    preserve_scale: float = 1.0

    def __post_init__(self) -> None:
        require_at_least_zero(lamb=self.lamb, erase_scale=self.erase_scale, preserve_scale=self.preserve_scale)

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks; raises SingularError or NonFiniteError."""
        solved = self.solve(system)
        return Edit("shared", (solved.left,), (solved.right,), solution_stats(solved))

    def solve(self, system: System, per_key: bool = False) -> ridge.Multiplier:
        """The solution of all blocks together, `per_key` as `ridge.solve` has it."""
        lamb = system.ridge if self.lamb is None else self.lamb
        moment = self.preserve_scale * system.kept.moment
        return chain.solve(chain_links(system.blocks, self.erase_scale), moment, lamb, per_key, system.cache)


def solution_stats(solved: ridge.Multiplier) -> Stats:
    """What a solution says of itself, for the report."""
    return Stats(solved.factor.condition, solved.residual, len(solved.right))


def stack_blocks(blocks: Sequence[Block], scale: float) -> tuple[Array, Array, Array]:
    """Keys and targets (d_in, m) of all blocks side by side, strength applied, and their weights (m,) times `scale`."""
    ridge.require_finite("the keys or targets", *(part for block in blocks for part in (block.keys, block.targets)))
    keys = np.hstack([block.keys for block in blocks])
    targets = np.hstack([ridge.interpolate_targets(block.keys, block.targets, block.strength) for block in blocks])
    return keys, targets, scale * np.concatenate([block.weights for block in blocks])


def chain_links(blocks: Sequence[Block], scale: float) -> list[chain.WeightedBlock]:
    """The blocks as links of a chain: strength applied, and their weights times `scale`."""
    ridge.require_finite("the keys or targets", *(part for block in blocks for part in (block.keys, block.targets)))
    return [
        chain.WeightedBlock(b.keys, ridge.interpolate_targets(b.keys, b.targets, b.strength), scale * b.weights)
        for b in blocks
    ]
