"""Solving one system with a method, and reducing the edit to the least rank that loses almost nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Manifest
from editc.core.problem import System
from editc.core.solution import Edit
from editc.numerics import chain, subspace
from editc.passes.methods import Method, NeedsFullRank

RANK_TOLERANCE = 0.1
"""The share of an edit that a lower rank may lose, in the metric of the system (`numerics.subspace.reduce`). Chosen by
hand."""


@dataclass(frozen=True)
class Solver:
    """Solves the systems of a manifest. The searches for strengths and pulls call it many times."""

    method: Method
    """The method, with its options."""
    manifest: Manifest
    """The manifest, for its bound on the rank."""
    tolerance: float = RANK_TOLERANCE
    """The share of an edit that a lower rank may lose."""

    def __call__(self, system: System) -> Edit:
        """Return the method's edit at the least rank that loses at most `tolerance`, or the manifest's bound on
        `discarded` if that is less, and at most at the rank bound.

        The edit of a method that needs its full rank is not reduced. Raises E430 where the bound does not allow it.
        """
        if isinstance(self.method, NeedsFullRank) and self.method.needs_full_rank:
            return _refuse_rank(self.method(system), self.manifest)
        bounds = self.manifest.constraints
        tolerance = self.tolerance if bounds.discarded is None else min(self.tolerance, bounds.discarded)
        return reduce_rank(system, self.method(system), tolerance, bounds.rank)

    def solve_all(self, systems: Mapping[str, System]) -> dict[str, Edit]:
        """Return the edit of every group."""
        return {group: self(system) for group, system in systems.items()}


def reduce_rank(system: System, edit: Edit, tolerance: float, most: int | None) -> Edit:
    """Reduce `edit` to the least rank that loses at most the share `tolerance` of it, and to at most rank `most`.

    The loss is measured on the outputs for the system's keys and preserved rows. A dense edit stays as it is.
    """
    if edit.form == "dense" or not any(map(len, edit.right)):
        return edit
    keyed = tuple(chain.WeightedBlock(block.keys, block.keys, block.weights) for block in system.blocks)
    metric = chain.Chain(keyed, system.preserved.moment, system.ridge, system.cache)
    factor, roots = metric.factor(), _left_roots(system, edit)
    pairs = zip(edit.right, roots, strict=True)
    small = [subspace.cached_reduce(*pair, factor, tolerance, most, system.cache) for pair in pairs]
    if len(small) > 1:
        small = [one if len(one.right) else _zero_at_rank_one(one) for one in small]
    mixes = [one.mix for one in small] * (len(edit.left) // len(small))
    left = tuple(part @ mix for part, mix in zip(edit.left, mixes, strict=True))
    rank, discarded = max(len(one.right) for one in small), max(one.discarded for one in small)
    stats = replace(edit.stats, rank=rank, discarded=discarded)
    return Edit(edit.form, left, tuple(one.right for one in small), stats)


def _refuse_rank(edit: Edit, manifest: Manifest) -> Edit:
    """Return the edit. Raises E430 where the manifest allows less than its rank."""
    most = manifest.constraints.rank
    if most is None or edit.stats.rank <= most:
        return edit
    raise EditcError(
        Diagnostic(
            "E430",
            f"`{manifest.method}` needs rank {edit.stats.rank} to keep its promise, and {most} is allowed",
            manifest.constraints.at("rank"),
            manifest.source,
            help=f"raise `rank` to {edit.stats.rank}; `editc explain {manifest.method}` says which options need less",
        )
    )


def _zero_at_rank_one(one: subspace.ReducedProduct) -> subspace.ReducedProduct:
    """Return the factors of a layer that does not change with rank 1, because a file cannot store a factor without
    rows."""
    return replace(one, mix=np.zeros((len(one.mix), 1)), right=np.zeros((1, one.right.shape[1])))


def _left_roots(system: System, edit: Edit) -> list[Array]:
    """Return, for each right factor, the square root of the sum of left_l^T left_l (m, m) over its layers; left_l = W_l
    left if shared. Where left is I the sum is a figure of the base alone."""
    if edit.form == "shared" and _is_identity(edit.left[0]):
        return [subspace.cached_root(system.total_gram(), system.cache)]
    if edit.form == "shared":
        return [subspace.square_root(edit.left[0].T @ system.total_gram() @ edit.left[0])]
    grams = [np.asarray(left.T @ left) for left in edit.left]
    return [subspace.square_root(gram) for gram in (grams if len(edit.right) > 1 else [np.sum(grams, axis=0)])]


def _is_identity(left: Array) -> bool:
    """Say whether `left` (d, r) is I."""
    rows, columns = left.shape
    return rows == columns == np.count_nonzero(left) and bool((np.diagonal(left) == 1).all())
