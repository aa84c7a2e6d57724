"""Unified Concept Editing (Gandikota et al., WACV 2024, arXiv 2308.14761): one ridge problem for every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from editc.core.delta import Array
from editc.core.problem import Block, System
from editc.core.solution import Edit
from editc.passes.methods.images.joint_ridge import JointRidge, solution_stats


@dataclass(frozen=True)
class UCE(JointRidge):
    """Map each key of a concept to its target, and leave the preserved rows where they are (eq. 7 of the paper).

    W' = W (I + (T - C) A C^T G^-1),  G = C A C^T + preserve_scale S + lamb I

    With keys C and targets T (d_in, m), weights A = erase_scale diag(a), S the second moment (d_in, d_in) of the
    preserved rows.
    """

    lamb: float | None = None
    """Ridge towards the old weights. Left out: the key rule's ridge, which is 0.5 as published for `last` and `span`,
    and for `aligned`, whose weights are means, a hundredth of the mean square of a preserved row's entries."""
    preserve_scale: float = 1.0
    """Weight of the preserved rows (published: 1)."""
    technique: Literal["replace", "tensor"] = "replace"
    """`replace` sends a key to its target. `tensor` (the 2023 code) sends it to the target less the target's projection
    on the old value, with one scalar per concept and layer; that makes the edit low-rank and not shared."""

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks; raises SingularError or NonFiniteError."""
        if self.technique == "replace":
            return super().__call__(system)
        solved = self.solve(system, per_key=True)
        left = tuple(tensor_left_factor(W, system.blocks) for W in system.weights)
        return Edit("low-rank", left, (solved.right,), solution_stats(solved))


def tensor_left_factor(W: Array, blocks: Sequence[Block]) -> Array:
    """The left factor of a `tensor` edit, (d_out, m): columns strength W (t - (1 + a) c), with one scalar
    a = <W C, W T> / |W C|^2 for each block."""
    columns = []
    for block in blocks:
        old, new = W @ block.keys, W @ block.targets
        size = float(np.vdot(old, old))
        share = float(np.vdot(old, new)) / size if size else 0.0
        columns.append(block.strength * (new - (1.0 + share) * old))
    return np.hstack(columns)
