"""Hard preservation, of our own making: preserved rows do not move at all, and the report says at what cost.

The exact form of what AlphaEdit (Fang et al., ICLR 2025, arXiv 2410.02355) and SPEED (arXiv 2503.07392) approximate by
a threshold on eigenvalues; UCE's limit for an unbounded weight of what is kept.
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
    """Map each key to its target as far as the directions allow that no preserved row has a part in.

    W' = W (I + (T - C) A C^T N),  N = V (V^T C A C^T V + lamb I)^-1 V^T,  V^T P = 0

    With keys C and targets T (d_in, m), weights A, preserved rows P (d_in, n), and V (d_in, k) an orthonormal basis of
    all that is orthogonal to P, from the singular values of P: those above `tolerance` times the largest are held
    exactly, at the others (a share s of |P|) an output may move by s |W' - W| |P| at most. The rank is at most k and at
    most m. On file the rounding of the weights to their dtype moves every output a little, kept or not.

    It can hold few prompts: each has as many rows as the encoder has tokens, and together they soon span everything
    (E410). Name the few that must not move at all, with `corpus: none`; `uce` keeps many a little.

    lamb: ridge towards the old weights; left out, what suits the key rule, as in UCE.
    tolerance: singular values of the preserved rows at most this times the largest count as none; the default is some
        ten times the float32 rounding of a text encoder.
    hold: `prompts` holds every row of every preserved prompt, and what the key rule keeps; `keys` the latter alone.
    """

    needs_preserved_rows: ClassVar[bool] = True
    lamb: float | None = None
    tolerance: float = 1e-6
    hold: Literal["prompts", "keys"] = "prompts"

    def __post_init__(self) -> None:
        require_at_least_zero(lamb=self.lamb, tolerance=self.tolerance)

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks.

        Raises NoFreeDirectionError, PreservedKeysError, SingularError or NonFiniteError.
        """
        keys, targets, weights = stack_blocks(system.blocks, 1.0)
        lamb = system.ridge if self.lamb is None else self.lamb
        kept = system.kept
        held = [kept.held, kept.keys] if self.hold == "prompts" else [kept.keys]
        room = nullspace.free_directions(len(keys), self.tolerance, *held)
        free = nullspace.free_shares(room.basis, ((block.keys, block.weights) for block in system.blocks))
        nullspace.require_free_directions(room.basis.shape[1], len(keys), free)
        solver = nullspace.restrict(room.basis, keys, weights, lamb)
        left, aim = nullspace.factor_right_side(keys, targets, weights)
        right = solver.solve(aim.T).T
        tiny = 1e-9 * float(np.sum(weights * keys**2))
        bare = ridge.solve(keys, targets, weights, np.zeros_like(kept.moment), max(lamb, tiny))
        notes = (_describe_room(room), *_describe_costs(system, free, (left, right), (bare.left, bare.right)))
        return Edit("shared", (left,), (right,), _stats(solver, aim, right, notes))


def _stats(solver: nullspace.RestrictedInverse, aim: Array, right: Array, notes: tuple[str, ...]) -> Stats:
    rank = min(len(right), solver.basis.shape[1])
    return Stats(solver.factor.condition, solver.residual(aim.T), rank, notes=notes)


def _describe_room(room: nullspace.FreeDirections) -> str:
    width, free = room.basis.shape
    return (
        f"{width - free} of {width} directions are held, {free} are free; "
        f"{room.preserved_share:.1e} of the preserved rows' norm lies in the free ones"
    )


def _describe_costs(system: System, free: Array, held: tuple[Array, Array], bare: tuple[Array, Array]) -> Iterator[str]:
    """What preservation costs each concept: its keys' free share, and its residual with and without anything kept."""
    root = subspace.square_root(system.total_gram())
    for block, part in zip(system.blocks, free, strict=True):
        here, there = (_residual(block, root, *edit) for edit in (held, bare))
        yield (
            f"`{block.request.concept}`: {part:.1%} of its keys' energy is free; "
            f"residual {here:.3f}, with nothing preserved {there:.3f}"
        )


def _residual(block: Block, root: Array, left: Array, right: Array) -> float:
    """|W'C - WT| / |WC - WT| over all sites at once, for `root` with root^T root = sum W^T W."""
    weight = np.sqrt(block.weights)
    keys, targets = root @ (block.keys * weight), root @ (block.targets * weight)
    return drift.residual(keys, keys + (root @ left) @ (right @ (block.keys * weight)), targets)
