"""RECE (Gong et al., ECCV 2024, arXiv 2407.12383): after UCE, derive what still recalls the concept, erase that."""

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
from editc.passes.methods.images.joint_ridge import stack_blocks
from editc.passes.methods.images.uce import UCE, tensor_move


@dataclass(frozen=True)
class RECE:
    """UCE, then `epochs` rounds: derive the keys that the edited layers read as the concept, send them to the target.

    C' = ((r I + G)^-1 H) C with G = sum_l W_l^T W_l, H = sum_l W_l^T W_l,0 (eq. 8); then UCE's solve with keys C'.

    With `anchor: current` (the reference) a round's targets, preserve and ridge terms refer to the weights edited so
    far: what is kept is held to where the round before left it. With `anchor: original` they refer to W_0, and the
    problems of the start and of all rounds so far are added up and solved as one, with keys C and every C' so far:

        min over W_0 + D  sum a |(W_0 + D) k - W_0 c*|^2 + (1 + t preserve_scale) tr(D S D^T) + (ridge + t lamb) |D|^2

    (t rounds, S the kept moment). That is UCE from W_0 with more keys, so the kept rows cannot drift a step a round.

    Every round is a shared multiplier, so with G and H kept up to date by it the whole loop runs on (d_in, d_in)
    matrices and each layer is read once. `tensor` targets differ by layer; there the loop goes over the weights.

    epochs: rounds (published: 3 for nudity, 2 for unsafe, 1 for objects and art).
    regular: r, the weight of the derivation's penalty (published: 0.1; 0.001 for objects).
    rule: regzero (the paper's), standard, surrogate1, surrogate2, surrogate_both.
    lamb: ridge of a round; left out, 0.2 of that of the UCE start (published: 0.1 after 0.5).
    preserve_scale: weight of the kept rows in a round (published: 0.1); the UCE start takes 1.
    erase_scale: weight of the edited keys.
    technique: replace or tensor, as in UCE.
    anchor: what a round's targets, kept rows and ridge refer to: original, or current as published, see above.
    """

    epochs: int = 1
    regular: float = 0.1
    rule: adversary.Regulariser = "regzero"
    lamb: float | None = None
    erase_scale: float = 1.0
    preserve_scale: float = 0.1
    technique: Literal["replace", "tensor"] = "replace"
    anchor: Literal["current", "original"] = "original"

    def __post_init__(self) -> None:
        require_at_least_zero(epochs=self.epochs, regular=self.regular, lamb=self.lamb)
        require_at_least_zero(erase_scale=self.erase_scale, preserve_scale=self.preserve_scale)

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks; raises SingularError or NonFiniteError."""
        start = UCE(erase_scale=self.erase_scale, technique=self.technique)(system)
        if self.anchor == "original":
            return self._from_original(system, start)
        if start.form == "low-rank":
            return self._after_low_rank(system, start)
        gram = system.total_gram()
        left, right = start.left[0], start.right[0]
        cross = gram + right.T @ (left.T @ gram)
        more = self.rounds(system, cross + (cross @ left) @ right, cross)
        left, right = subspace.compose(left, right, more.left[0], more.right[0])
        return Edit("shared", (left,), (right,), _worst(start.stats, more.stats, right.shape[0]))

    def _from_original(self, system: System, edit: Edit) -> Edit:
        """The rounds as UCE problems from the original weights, each with all the keys derived so far."""
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

        gram = sum W_start^T W_start, cross = sum W_start^T W_0, (d_in, d_in) both: all that a round needs of the
        weights, for after Q they are Q^T gram Q and Q^T cross.
        """
        left, right = np.zeros((len(gram), 0)), np.zeros((0, len(gram)))
        stats = Stats(1.0, 0.0, 0)
        for _ in range(self.epochs):
            solved = self._round(self._derive(system.blocks, gram, cross), system)
            turn = np.eye(len(gram)) + solved.left @ solved.right
            gram, cross = turn.T @ gram @ turn, turn.T @ cross
            left, right = subspace.compose(left, right, solved.left, solved.right)
            stats = _worst(stats, _stats(solved), right.shape[0])
        return Edit("shared", (left,), (right,), stats)

    def layered_rounds(self, system: System, current: Sequence[Array], first: Sequence[Array]) -> Edit:
        """The rounds for `tensor` targets: low-rank changes of `current`, where `first` are the original weights."""
        lefts: list[list[Array]] = []
        rights: list[Array] = []
        stats = Stats(1.0, 0.0, 0)
        for _ in range(self.epochs):
            cross = np.sum([W.T @ W0 for W, W0 in zip(current, first, strict=True)], axis=0)
            blocks = self._derive(system.blocks, _gram(current), cross)
            solved = self._round(blocks, system)
            lefts.append([tensor_move(W, blocks) for W in current])
            rights.append(solved.right)
            current = [W + left @ solved.right for W, left in zip(current, lefts[-1], strict=True)]
            stats = _worst(stats, _stats(solved), sum(len(right) for right in rights))
        joined = tuple(np.hstack(parts) for parts in zip(*lefts, strict=True))
        return Edit("low-rank", joined, (np.vstack(rights),), stats)

    def _after_low_rank(self, system: System, start: Edit) -> Edit:
        first = [np.asarray(W) for W in system.weights]
        current = [W + left @ start.right[0] for W, left in zip(first, start.left, strict=True)]
        if not self.epochs:
            return start
        more = self.layered_rounds(system, current, first)
        left = tuple(np.hstack(pair) for pair in zip(start.left, more.left, strict=True))
        right = np.vstack([start.right[0], more.right[0]])
        return Edit("low-rank", left, (right,), _worst(start.stats, more.stats, len(right)))

    def _derive(self, blocks: Sequence[Block], gram: Array, cross: Array) -> tuple[Block, ...]:
        """Each block with its keys replaced by the derived ones; all are derived before any is edited."""
        return tuple(
            replace(b, keys=adversary.derive(b.keys, b.targets, gram, cross, self.regular, self.rule)) for b in blocks
        )

    def _round(self, blocks: Sequence[Block], system: System) -> ridge.Multiplier:
        keys, targets, weights = stack_blocks(blocks, self.erase_scale)
        moment = self.preserve_scale * system.kept.moment
        return ridge.solve(keys, targets, weights, moment, self._lamb(system), per_key=self.technique == "tensor")

    def _lamb(self, system: System) -> float:
        return 0.2 * system.ridge if self.lamb is None else self.lamb


def _gram_and_cross(weights: Sequence[Array], first: Array, edit: Edit) -> tuple[Array, Array]:
    """G and H of the weights after `edit`, where `first` is sum W_0^T W_0: layer by layer only for a low-rank edit."""
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
    return np.asarray(np.sum([W.T @ W for W in weights], axis=0))


def _stats(solved: ridge.Multiplier) -> Stats:
    return Stats(solved.factor.condition, solved.residual, solved.right.shape[0])


def _worst(one: Stats, other: Stats, rank: int) -> Stats:
    return Stats(max(one.condition, other.condition), max(one.residual, other.residual), rank)
