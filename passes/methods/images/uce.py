"""Unified Concept Editing (Gandikota et al., WACV 2024, arXiv 2308.14761): one ridge problem for every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from editc.core.ir import Array, Block, Edit, Stats, System
from editc.numerics import chain, ridge
from editc.passes.methods import at_least_zero


@dataclass(frozen=True)
class JointRidge:
    """The joint problem of UCE, MACE's and TRCE's first stages, which differ in the rows that their key rules give.

    W' = W (I + (T - C) A C^T G^-1),  G = C A C^T + preserve_scale S + lamb I; each method says what its options mean.
    """

    lamb: float | None = None
    erase_scale: float = 1.0
    preserve_scale: float = 1.0

    def __post_init__(self) -> None:
        at_least_zero(lamb=self.lamb, erase_scale=self.erase_scale, preserve_scale=self.preserve_scale)

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks; raises SingularError or NonFiniteError."""
        solved = self.solved(system)
        return Edit("shared", (solved.left,), (solved.right,), stats(solved))

    def solved(self, system: System, per_key: bool = False) -> ridge.Multiplier:
        """The solution of all blocks together, `per_key` as `ridge.solve` has it."""
        lamb = system.ridge if self.lamb is None else self.lamb
        moment = self.preserve_scale * system.kept.moment
        return chain.solve(parts(system.blocks, self.erase_scale), moment, lamb, per_key, system.shelf)


@dataclass(frozen=True)
class UCE(JointRidge):
    """Map each key of a concept to its target, keep what is preserved (eq. 7 of the paper).

    W' = W (I + (T - C) A C^T G^-1),  G = C A C^T + preserve_scale S + lamb I

    With keys C and targets T (d_in, m), weights A = erase_scale diag(a), kept second moment S (d_in, d_in).

    lamb: ridge towards the old weights; left out, what suits the key rule (0.5 as published for last and span keys;
        for aligned keys, whose weights are means, a hundredth of the mean square of a kept row's entries).
    erase_scale: weight of the edited keys (published: 1).
    preserve_scale: weight of the kept rows (published: 1).
    technique: `replace` sends a key to its target; `tensor` (the 2023 code) to the target less its projection on the
        old value, with one scalar per concept and layer, which makes the edit low-rank and not shared.
    """

    technique: Literal["replace", "tensor"] = "replace"

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks; raises SingularError or NonFiniteError."""
        if self.technique == "replace":
            return super().__call__(system)
        solved = self.solved(system, per_key=True)
        left = tuple(tensor_move(W, system.blocks) for W in system.weights)
        return Edit("low-rank", left, (solved.right,), stats(solved))


def stats(solved: ridge.Multiplier) -> Stats:
    """What a solution can say of itself."""
    return Stats(solved.factor.condition, solved.residual, len(solved.right))


def stacked(blocks: Sequence[Block], scale: float) -> tuple[Array, Array, Array]:
    """Keys and targets (d_in, m) of all blocks side by side, strength applied, and their weights (m,) times `scale`."""
    ridge.finite("the keys or targets", *(part for block in blocks for part in (block.keys, block.targets)))
    keys = np.hstack([block.keys for block in blocks])
    targets = np.hstack([ridge.toward(block.keys, block.targets, block.strength) for block in blocks])
    return keys, targets, scale * np.concatenate([block.weights for block in blocks])


def parts(blocks: Sequence[Block], scale: float) -> list[chain.Part]:
    """The blocks as links of a chain: strength applied, and their weights times `scale`."""
    ridge.finite("the keys or targets", *(part for block in blocks for part in (block.keys, block.targets)))
    return [chain.Part(b.keys, ridge.toward(b.keys, b.targets, b.strength), scale * b.weights) for b in blocks]


def tensor_move(W: Array, blocks: Sequence[Block]) -> Array:
    """Columns strength W (t - (1 + a) c), (d_out, m), with a = <W C, W T> / |W C|^2 over each concept's block."""
    columns = []
    for block in blocks:
        old, new = W @ block.keys, W @ block.targets
        size = float(np.vdot(old, old))
        share = float(np.vdot(old, new)) / size if size else 0.0
        columns.append(block.strength * (new - (1.0 + share) * old))
    return np.hstack(columns)
