"""RECE (Gong et al., ECCV 2024, arXiv 2407.12383): after UCE, derive the keys that still lead to the concept, and erase
these too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from editc.core.delta import Array
from editc.core.problem import Block, System
from editc.core.solution import Edit, Stats
from editc.numerics import adversary, chain, ridge, subspace
from editc.passes.methods import require_at_least_zero
from editc.passes.methods.images.joint_ridge import solution_stats, stack_blocks
from editc.passes.methods.images.uce import UCE, tensor_left_factor


@dataclass(frozen=True)
class RECE:
    """UCE, then `epochs` rounds, each of which derives the keys that the edited layers read as the concept, and sends
    them to the target.

    C' = ((r I + G)^-1 H) C with G = sum_l W_l^T W_l, H = sum_l W_l^T W_l,0 (eq. 8); then UCE's solve with keys C'.

    With `anchor: current` (as published) the targets, preserved rows and ridge of a round refer to the weights edited
    so far, so that the preserved rows may drift a little in every round. With `anchor: original` they refer to the
    original weights W_0, and the problems of the start and of all rounds so far are added up and solved as one, with
    keys C and every C' so far:

        min over W_0 + D  sum a |(W_0 + D) k - W_0 c*|^2 + (1 + t preserve_scale) tr(D S D^T) + (ridge + t lamb) |D|^2

    (t rounds, S the second moment of the preserved rows). That is UCE from W_0 with more keys.

    Every round is a shared multiplier. So G and H are updated by it, the whole loop runs on (d_in, d_in) matrices, and
    each layer is read once. `tensor` targets differ by layer; there the loop runs over the weights.
    """

    epochs: int = 1
    """How many rounds (published: 3 for nudity, 2 for unsafe, 1 for objects and art)."""
    regular: float = 0.1
    """r, the weight of the derivation's penalty (published: 0.1; 0.001 for objects)."""
    rule: adversary.Regulariser = "regzero"
    """The derivation's penalty: `regzero` (the paper's), `standard`, `surrogate1`, `surrogate2`, `surrogate_both` (see
    `numerics.adversary`)."""
    lamb: float | None = None
    """Ridge of a round. Left out: 0.2 of the ridge of the UCE start (published: 0.1 after 0.5)."""
    erase_scale: float = 1.0
    """Weight of the edited keys."""
    preserve_scale: float = 0.1
    """Weight of the preserved rows in a round (published: 0.1). The UCE start takes 1."""
    technique: Literal["replace", "tensor"] = "replace"
    """`replace` or `tensor`, as in `uce`."""
    anchor: Literal["current", "original"] = "original"
    """Which weights the targets, preserved rows and ridge of a round refer to: `original`, or `current` as published
    (see above)."""

    def __post_init__(self) -> None:
        require_at_least_zero(epochs=self.epochs, regular=self.regular, lamb=self.lamb)
        require_at_least_zero(erase_scale=self.erase_scale, preserve_scale=self.preserve_scale)

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks; raises SingularError or NonFiniteError."""
        start = UCE(erase_scale=self.erase_scale, technique=self.technique)(system)
        if self.anchor == "original":
            return self._from_original(system, start)
        if start.form == "low-rank":
            return self._low_rank_edit(system, start)
        gram = system.total_gram()
        left, right = start.left[0], start.right[0]
        cross = gram + right.T @ (left.T @ gram)
        more = self.rounds(system, cross + (cross @ left) @ right, cross)
        left, right = subspace.compose(left, right, more.left[0], more.right[0])
        return Edit("shared", (left,), (right,), _worst(start.stats, more.stats, right.shape[0]))

    def _from_original(self, system: System, edit: Edit) -> Edit:
        """The rounds with `anchor: original`: each is a UCE problem from the original weights, with all the keys
        derived so far. `edit`: the UCE start."""
        blocks, stats, first = system.blocks, edit.stats, system.total_gram()
        for count in range(1, self.epochs + 1):
            blocks = (*blocks, *self._derive(system.blocks, *_gram_and_cross(system.weights, first, edit)))
            edit = UCE(
                system.ridge + count * self._lamb(system),
                self.erase_scale,
                1.0 + count * self.preserve_scale,
                self.technique,
            )(replace(system, blocks=blocks, cache=chain.ReadOnlyCache(system.cache)))
            stats = _worst(stats, edit.stats, edit.stats.rank)
        return replace(edit, stats=stats)

    def rounds(self, system: System, gram: Array, cross: Array) -> Edit:
        """The rounds alone, as a shared multiplier Q of the weights that they start from: W' = W_start Q.

        gram = sum W_start^T W_start and cross = sum W_start^T W_0, (d_in, d_in) both, are all that a round needs to
        know of the weights: after Q they are Q^T gram Q and Q^T cross."""
        left, right = np.zeros((len(gram), 0)), np.zeros((0, len(gram)))
        stats = Stats(1.0, 0.0, 0)
        for _ in range(self.epochs):
            solved = self._round(self._derive(system.blocks, gram, cross), system)
            turn = np.eye(len(gram)) + solved.left @ solved.right
            gram, cross = turn.T @ gram @ turn, turn.T @ cross
            left, right = subspace.compose(left, right, solved.left, solved.right)
            stats = _worst(stats, solution_stats(solved), right.shape[0])
        return Edit("shared", (left,), (right,), stats)

    def layered_rounds(self, system: System, current: Sequence[Array], first: Sequence[Array]) -> Edit:
        """The rounds alone for `tensor` targets, as low-rank changes of the weights `current`, (d_out, d_in) each.
        `first`: the original weights."""
        lefts: list[list[Array]] = []
        rights: list[Array] = []
        stats = Stats(1.0, 0.0, 0)
        for _ in range(self.epochs):
            cross = np.sum([W.T @ W0 for W, W0 in zip(current, first, strict=True)], axis=0)
            blocks = self._derive(system.blocks, _gram(current), cross)
            solved = self._round(blocks, system)
            lefts.append([tensor_left_factor(W, blocks) for W in current])
            rights.append(solved.right)
            current = [W + left @ solved.right for W, left in zip(current, lefts[-1], strict=True)]
            stats = _worst(stats, solution_stats(solved), sum(len(right) for right in rights))
        joined = tuple(np.hstack(parts) for parts in zip(*lefts, strict=True))
        return Edit("low-rank", joined, (np.vstack(rights),), stats)

    def _low_rank_edit(self, system: System, start: Edit) -> Edit:
        """The UCE start of `tensor` targets and its rounds, as one low-rank edit."""
        first = [np.asarray(W) for W in system.weights]
        current = [W + left @ start.right[0] for W, left in zip(first, start.left, strict=True)]
        if not self.epochs:
            return start
        more = self.layered_rounds(system, current, first)
        left = tuple(np.hstack(pair) for pair in zip(start.left, more.left, strict=True))
        right = np.vstack([start.right[0], more.right[0]])
        return Edit("low-rank", left, (right,), _worst(start.stats, more.stats, len(right)))

    def _derive(self, blocks: Sequence[Block], gram: Array, cross: Array) -> tuple[Block, ...]:
        """Each block with derived keys in place of its own. All keys are derived before any of them is edited."""
        return tuple(
            replace(b, keys=adversary.derive(b.keys, b.targets, gram, cross, self.regular, self.rule)) for b in blocks
        )

    def _round(self, blocks: Sequence[Block], system: System) -> ridge.Multiplier:
        """Solve one round for blocks with derived keys."""
        keys, targets, weights = stack_blocks(blocks, self.erase_scale)
        moment = self.preserve_scale * system.preserved.moment
        return ridge.solve(keys, targets, weights, moment, self._lamb(system), per_key=self.technique == "tensor")

    def _lamb(self, system: System) -> float:
        """The ridge of a round."""
        return 0.2 * system.ridge if self.lamb is None else self.lamb


def _gram_and_cross(weights: Sequence[Array], first: Array, edit: Edit) -> tuple[Array, Array]:
    """G and H, (d_in, d_in) both, of the weights after `edit`. `first`: sum W_0^T W_0 over the original weights. Only a
    low-rank edit reads the weights."""
    if edit.form == "shared":
        turn = np.eye(len(first)) + edit.left[0] @ edit.right[0]
        cross = turn.T @ first
        return cross @ turn, cross
    gram, cross = np.zeros_like(first), np.zeros_like(first)
    for W, left in zip(weights, edit.left, strict=True):
        after = W + left @ edit.right[0]
        gram, cross = gram + after.T @ after, cross + after.T @ W
    return gram, cross


def _gram(weights: Sequence[Array]) -> Array:
    """sum W^T W, (d_in, d_in)."""
    return np.asarray(np.sum([W.T @ W for W in weights], axis=0))


def _worst(one: Stats, other: Stats, rank: int) -> Stats:
    """The larger condition number and residual of two solves, with a given rank."""
    return Stats(max(one.condition, other.condition), max(one.residual, other.residual), rank)
