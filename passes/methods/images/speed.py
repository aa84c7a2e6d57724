"""SPEED (Li et al., ICLR 2026, arXiv 2503.07392): edit within the null space of the preserved rows.

Three things differ from the reference code. It inverts float32 matrices; here symmetric forms of the same matrices are
solved by Cholesky in float64. Its noise depends on the device and the batch. At `lamb` 0 it inverts K^T P M K, which is
singular as soon as an invariance key lies in the preserved rows. Such a key is preserved already, so here the keys join
the directions that P leaves out; that is the same edit wherever the inverse exists.

One thing is copied, because the published numbers were made with it: the "directed" noise runs along the last right
singular vector of the reduced SVD of W. That is the direction which W damps most only if d_out >= d_in. With fewer rows
W has a null space, and the vector lies outside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, TypeAlias

import numpy as np

from editc.core.delta import Array
from editc.core.problem import Block, PreservedRows, System
from editc.core.solution import Edit, Stats
from editc.numerics import nullspace
from editc.numerics.ridge import factorise, normal_matrix, require_finite
from editc.passes.methods import require_at_least_zero
from editc.passes.methods.images.joint_ridge import stack_blocks

Draw: TypeAlias = Callable[[int, Array, tuple[int, int]], Array]
"""Draws noise: (layer, direction (d_in,), (rows, repeats)) -> how far each copy of each row is moved along the
direction, (rows, repeats)."""
EMPTY_PROMPT_CENTRES = 3
"""How many k-means centres of the empty prompt's rows are invariance keys, as published."""
LLOYD_ROUNDS = 30
"""Rounds of k-means. Chosen by hand: more than the few rows of a prompt need."""


@dataclass(frozen=True)
class SPEED:
    """Map each key to its target by a change in which preserved rows and invariance keys have no part.

    W' = W + W (S_at - S_tt) P [I - M K (K^T P M K + lamb I)^-1 K^T P] M,  M = (S_tt P + retain_scale I)^-1

    In the paper's row convention: S_tt = mean t^T t and S_at = mean a^T t over the keys t of the concepts and their
    targets a. P (d_in, d_in) projects on the eigenvectors of the preserved rows' mean r^T r with eigenvalues below
    `threshold`. K (d_in, 4) are the invariance keys: the BOS row of the empty prompt and three k-means centres of its
    other rows. Since N = P M is symmetric, the change is W (T - C) B with B = A C^T (N - N K (K^T N K + lamb I)^-1 K^T
    N), of rank m at most. Without filter and noise all layers share one B; else P differs by layer, and so does B.

    Published: the last subject token's key (`keys: last`), V alone (`sites: {roles: [v]}`), hundreds of preserved
    prompts; for many concepts retain_scale 0.05 without filter. The preserved rows come into P as a mean, so that
    `preserve.weight` has no effect; a lower `threshold` preserves more.
    """

    needs_preserved_rows: ClassVar[bool] = True
    """The trait `NeedsPreservedRows`."""
    aug_num: int = 10
    """How many noisy copies of each preserved row are preserved too; 0 for none."""
    threshold: float = 0.1
    """Directions with an eigenvalue below it are free (published, for rows of CLIP-L with a mean square of about 1)."""
    retain_scale: float = 1.0
    """Ridge towards the old weights (published: 1; 0.05 for many concepts)."""
    lamb: float = 0.0
    """How far the invariance keys may move; at 0 they do not move at all (published: 0; 0.5 for whole prompts)."""
    filter: bool | None = None
    """True preserves only the rows that the edit would otherwise move more than the average, layer by layer. Left out:
    true if copies are drawn, as in the published code, which preserves every row with `aug_num: 0`. Of the noisy copies
    always those that move more than their average are taken."""
    seed: int = 0
    """Seed of the noise. Left out: the manifest's seed."""

    def __post_init__(self) -> None:
        require_at_least_zero(aug_num=self.aug_num, threshold=self.threshold, retain_scale=self.retain_scale)
        require_at_least_zero(lamb=self.lamb, seed=self.seed)

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks.

        Raises NoFreeDirectionError, PreservedKeysError, SingularError or NonFiniteError.
        """
        require_finite("the empty prompt's rows", system.preserved.empty)
        return self.solve_with(system, invariance_keys(system.preserved.empty), self._draw)

    def solve_with(self, system: System, invariant: Array, draw: Draw) -> Edit:
        """The joint edit of all blocks with given invariance keys (d_in, j) and noise; raises as a call does."""
        keys, targets, weights = stack_blocks(system.blocks, 1.0)
        problem = _Problem(self, system.blocks, keys, weights / weights.sum(), invariant)
        preserved = _WeightedRows.from_preserved(system.preserved, len(keys))
        left, aim = nullspace.factor_right_side(keys, targets, problem.weights)
        if not self._filters and not self.aug_num:
            alone = problem.solve(preserved.mean(), aim)
            return Edit("shared", (left,), (alone.right,), _stats([alone], len(keys)))
        judge, found, lefts = problem.judge(aim), [], []
        for index, W in enumerate(system.weights):
            lefts.append(W @ left)
            mean = self._mean(preserved, W, (lefts[-1], judge), partial(draw, index))
            found.append(problem.solve(mean, aim))
        return Edit("low-rank", tuple(lefts), tuple(one.right for one in found), _stats(found, len(keys)))

    @property
    def _filters(self) -> bool:
        """True if only the most moved rows are preserved."""
        return self.aug_num > 0 if self.filter is None else self.filter

    def _mean(self, preserved: _WeightedRows, W: Array, edit: tuple[Array, Array], draw: Callable[..., Array]) -> Array:
        """The mean r r^T (d_in, d_in) of the rows and noisy copies that one layer preserves. `edit`: the two factors of
        the edit without null space."""
        chosen = preserved.most_moved(*edit) if self._filters else preserved
        if not self.aug_num or not chosen.weights.size:
            return chosen.mean()
        v = noise_direction(W)
        return chosen.augmented_mean(*edit, v, draw(v, (len(chosen.weights), self.aug_num)))

    def _draw(self, layer: int, _: Array, shape: tuple[int, int]) -> Array:
        """Normal noise (rows, repeats) that depends on the seed and the layer only."""
        return np.random.default_rng((self.seed, layer)).normal(size=shape)


@dataclass(frozen=True)
class _WeightedRows:
    """Preserved rows with their weights. The edit without null space would move a row r by E r, where E = left judge
    has two factors. The rows that it moves by more than the average are the ones that need preservation."""

    rows: Array
    """The rows, (d_in, n)."""
    weights: Array
    """Their weights, (n,)."""

    @staticmethod
    def from_preserved(preserved: PreservedRows, width: int) -> _WeightedRows:
        """All preserved rows of a system, whose rows have `width` entries. Raises NonFiniteError."""
        require_finite("what is preserved", preserved.keys)
        return _WeightedRows(preserved.keys if preserved.keys.size else np.zeros((width, 0)), preserved.weights)

    def mean(self) -> Array:
        """The weighted mean r r^T, (d_in, d_in); zero without rows."""
        total = float(self.weights.sum())
        return np.asarray((self.rows * self.weights) @ self.rows.T / (total or 1.0))

    def most_moved(self, left: Array, judge: Array) -> _WeightedRows:
        """The rows that E = left judge moves by more than the average."""
        if not self.weights.size:
            return self
        sizes = np.linalg.norm(left @ (judge @ self.rows), axis=0)
        chosen = sizes > np.average(sizes, weights=self.weights)
        return _WeightedRows(self.rows[:, chosen], self.weights[chosen])

    def augmented_mean(self, left: Array, judge: Array, v: Array, steps: Array) -> Array:
        """`mean` of the rows and of the copies r + s v that E moves by more than the copies' average. `v` (d_in,): the
        direction of the noise; `steps` (n, repeats): the s of each copy.

        No copy is built: |E r + s E v|^2 and the moment of the chosen copies follow from r, v and the steps.
        """
        moved, along = left @ (judge @ self.rows), left @ (judge @ v)
        squares = np.sum(moved**2, axis=0)[:, None] + 2 * steps * (along @ moved)[:, None] + steps**2 * (along @ along)
        sizes = np.sqrt(np.clip(squares, 0.0, None))
        chosen = sizes > np.average(sizes.mean(axis=1), weights=self.weights)
        counts = self.weights * (1 + chosen.sum(axis=1))
        slant = np.outer(self.rows @ (self.weights * (chosen * steps).sum(axis=1)), v)
        spread = float(self.weights @ (chosen * steps**2).sum(axis=1)) * np.outer(v, v)
        return np.asarray(((self.rows * counts) @ self.rows.T + slant + slant.T + spread) / counts.sum())


@dataclass(frozen=True)
class _LayerSolution:
    """The solution of one layer."""

    right: Array
    """B, the right factor of the edit, (r, d_in)."""
    free: int
    """How many directions are free."""
    shares: Array
    """The share of each block's keys in the free directions, (blocks,)."""
    condition: float
    """The condition number of the solved system."""
    residual: float
    """The relative residual of the solve."""


@dataclass(frozen=True)
class _Problem:
    """The part of the problem that all layers share."""

    method: SPEED
    """The method with its options."""
    blocks: tuple[Block, ...]
    """The concepts."""
    keys: Array
    """C, the keys of all blocks, (d_in, m)."""
    weights: Array
    """Their weights, which sum to 1, (m,)."""
    invariant: Array
    """K, the invariance keys, (d_in, j)."""

    def judge(self, aim: Array) -> Array:
        """A C^T (I + S_tt)^-1, (r, d_in): the right factor of the edit without null space, by which rows are chosen.
        `aim`: A C^T as `nullspace.factor_right_side` gives it, (r, d_in)."""
        return factorise(normal_matrix(self.keys, self.weights, 0 * np.eye(len(self.keys)), 1.0)).solve(aim.T).T

    def solve(self, mean: Array, aim: Array) -> _LayerSolution:
        """The solution for preserved rows with this mean r r^T, (d_in, d_in). B is zero if they leave no direction
        free."""
        basis, soft = nullspace.small_eigenvectors(mean, self.method.threshold), self.method.lamb > 0
        if not soft:
            basis = nullspace.orthogonal_part(basis, self.invariant)
        shares = nullspace.free_shares(basis, ((block.keys, block.weights) for block in self.blocks))
        if not basis.shape[1]:
            return _LayerSolution(np.zeros_like(aim), 0, shares, 1.0, 0.0)
        free = nullspace.restrict(basis, self.keys, self.weights, self.method.retain_scale)
        right, condition, residual = free.solve(aim.T), free.factor.condition, free.residual(aim.T)
        if soft:
            still = free.solve(self.invariant)
            core = self.invariant.T @ still
            factor = factorise((core + core.T) / 2 + self.method.lamb * np.eye(len(core)))
            right = right - still @ factor.solve(still.T @ aim.T)
            condition = max(condition, factor.condition)
        return _LayerSolution(right.T, basis.shape[1], shares, condition, residual)


def noise_direction(W: Array) -> Array:
    """The last right singular vector (d_in,) of the reduced SVD of W, its largest entry positive."""
    v = np.linalg.svd(W, full_matrices=False)[2][-1]
    return np.asarray(v * np.sign(v[np.argmax(np.abs(v))]))


def invariance_keys(empty: Array) -> Array:
    """K, (d_in, at most 4): of the empty prompt's rows (d_in, t) the BOS row, and k-means centres of the others."""
    return np.hstack([empty[:, :1], k_means_centres(empty[:, 1:], EMPTY_PROMPT_CENTRES)])


def k_means_centres(points: Array, count: int) -> Array:
    """K-means centres (d, at most `count`) of points (d, n); fewer if fewer points differ.

    A fixed number of Lloyd's rounds. The first centre is the point farthest from the mean, each further one the point
    farthest from the centres so far, so that nothing is random.
    """
    if not points.size:
        return points[:, :0]
    found, far = points[:, :0], np.linalg.norm(points - points.mean(axis=1, keepdims=True), axis=0)
    while found.shape[1] < count and (not found.size or far.max() > 0):
        found = np.hstack([found, points[:, [int(far.argmax())]]])
        far = _distances(points, found).min(axis=1)
    for _ in range(LLOYD_ROUNDS):
        nearest = _distances(points, found).argmin(axis=1)
        found = np.stack([points[:, nearest == one].mean(axis=1) for one in np.unique(nearest)], axis=1)
    return found


def _distances(points: Array, found: Array) -> Array:
    """The distance from each of the points (d, n) to each of the centres (d, k), (n, k)."""
    return np.asarray(np.linalg.norm(points[:, :, None] - found[:, None, :], axis=0))


def _stats(found: list[_LayerSolution], width: int) -> Stats:
    """The worst figures of all layers. Raises NoFreeDirectionError if no layer has a free direction, PreservedKeysError
    if a concept has no part in any."""
    free = [one.free for one in found]
    nullspace.require_free_directions(max(free), width, np.max([one.shares for one in found], axis=0))
    span = f"{min(free)} to {max(free)}" if min(free) < max(free) else f"{free[0]}"
    rank = max(min(len(one.right), one.free) for one in found)
    worst = (max(one.condition for one in found), max(one.residual for one in found))
    return Stats(*worst, rank, notes=(f"{span} of {width} directions are free",))
