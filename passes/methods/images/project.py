"""Hard preservation, a method of our own: preserved rows do not move at all, and the report says at what cost.

It is the exact form of what AlphaEdit (Fang et al., ICLR 2025, arXiv 2410.02355) and SPEED (arXiv 2503.07392)
approximate by a threshold on eigenvalues. It is also the limit of UCE for an unbounded weight of the preserved rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from editc.core.delta import Array
from editc.core.problem import Block, System
from editc.core.solution import Edit, Stats
from editc.numerics import drift, nullspace, ridge, subspace
from editc.passes.methods import require_at_least_zero
from editc.passes.methods.images.joint_ridge import stack_blocks


@dataclass(frozen=True)
class Project:
    """Map each key to its target as far as possible without changing the output of any preserved row. It uses only the
    directions that are orthogonal to the preserved rows.

    W' = W (I + (T - C) A C^T N),  N = V (V^T C A C^T V + lamb I)^-1 V^T,  V^T P = 0

    With keys C and targets T (d_in, m), weights A, preserved rows P (d_in, n), and V (d_in, k) an orthonormal basis of
    the directions orthogonal to P. The rank is at most k and at most m. Directions in which P has a singular value
    above `tolerance` times the largest are preserved exactly. In the others, which hold a share s of |P|, an output may
    move by at most s |W' - W| |P|. In a file, the rounding of the weights to their dtype moves every output a little.

    The method can preserve only few prompts: each has as many rows as the encoder has tokens, and together they soon
    span all directions (E410). Name the few prompts that must not move at all, with `corpus: none`. To preserve many
    prompts less strictly, take `uce`.
    """

    needs_preserved_rows: ClassVar[bool] = True
    """The trait `NeedsPreservedRows`."""
    lamb: float | None = None
    """Ridge towards the old weights. Left out: the key rule's ridge, as in `uce`."""
    tolerance: float = 1e-6
    """Singular values of the preserved rows up to this share of the largest count as zero. The default is some ten
    times the float32 rounding of a text encoder."""
    hold: Literal["prompts", "keys"] = "prompts"
    """Which rows are preserved: `keys`, those that the key rule preserves; `prompts`, these and every row of every
    preserved prompt."""

    def __post_init__(self) -> None:
        require_at_least_zero(lamb=self.lamb, tolerance=self.tolerance)

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks.

        Raises NoFreeDirectionError, PreservedKeysError, SingularError or NonFiniteError.
        """
        keys, targets, weights = stack_blocks(system.blocks, 1.0)
        lamb = system.ridge if self.lamb is None else self.lamb
        rows = system.preserved
        preserved = [rows.all_rows, rows.keys] if self.hold == "prompts" else [rows.keys]
        room = nullspace.free_directions(len(keys), self.tolerance, *preserved)
        free = nullspace.free_shares(room.basis, ((block.keys, block.weights) for block in system.blocks))
        nullspace.require_free_directions(room.basis.shape[1], len(keys), free)
        solver = nullspace.restrict(room.basis, keys, weights, lamb)
        left, aim = nullspace.factor_right_side(keys, targets, weights)
        right = solver.solve(aim.T).T
        tiny = 1e-9 * float(np.sum(weights * keys**2))
        bare = ridge.solve(keys, targets, weights, np.zeros_like(rows.moment), max(lamb, tiny))
        notes = (_describe_room(room), *_describe_costs(system, free, (left, right), (bare.left, bare.right)))
        return Edit("shared", (left,), (right,), _stats(solver, aim, right, notes))


def _stats(solver: nullspace.RestrictedInverse, aim: Array, right: Array, notes: tuple[str, ...]) -> Stats:
    """Condition number, residual and rank of the solve, for the report."""
    rank = min(len(right), solver.basis.shape[1])
    return Stats(solver.factor.condition, solver.residual(aim.T), rank, notes=notes)


def _describe_room(room: nullspace.FreeDirections) -> str:
    """A note on how many directions are preserved and free, and how much of the preserved rows lies in the free
    ones."""
    width, free = room.basis.shape
    return (
        f"{width - free} of {width} directions are held, {free} are free; "
        f"{room.preserved_share:.1e} of the preserved rows' norm lies in the free ones"
    )


def _describe_costs(
    system: System, free: Array, preserving: tuple[Array, Array], bare: tuple[Array, Array]
) -> Iterator[str]:
    """A note for each concept on what preservation costs it: the share of its keys' energy in free directions, and its
    residual with and without preserved rows.

    `free`: these shares, one for each block. `preserving`, `bare`: the factors of the edit with and without preserved
    rows."""
    root = subspace.square_root(system.total_gram())
    for block, part in zip(system.blocks, free, strict=True):
        here, there = (_residual(block, root, *edit) for edit in (preserving, bare))
        yield (
            f"`{block.request.concept}`: {part:.1%} of its keys' energy is free; "
            f"residual {here:.3f}, with nothing preserved {there:.3f}"
        )


def _residual(block: Block, root: Array, left: Array, right: Array) -> float:
    """|W'C - WT| / |WC - WT| of a block over all sites at once. `root`: root^T root = sum W^T W; `left`, `right`: the
    factors of the shared edit."""
    weight = np.sqrt(block.weights)
    keys, targets = root @ (block.keys * weight), root @ (block.targets * weight)
    return drift.residual(keys, keys + (root @ left) @ (right @ (block.keys * weight)), targets)
