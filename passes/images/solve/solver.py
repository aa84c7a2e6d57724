"""A method at the least rank that loses next to nothing: one system in, its edit out."""

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
"""Share of the edit, in the problem's own metric, that a lower rank may lose: see `numerics.subspace.reduce`."""


@dataclass(frozen=True)
class Solver:
    """What solves the systems of a manifest, as often as strengths and shares are sought."""

    method: Method
    """The method, with its options."""
    manifest: Manifest
    """Its rank constraint bounds the edit."""
    tolerance: float = RANK_TOLERANCE
    """Share of an edit that a lower rank may lose."""

    def __call__(self, system: System) -> Edit:
        """The method's edit at the least rank that loses at most `tolerance`, and at most the rank constraint.

        Of a method that needs its full rank the edit as it is; E430 where the constraint does not allow its rank.
        """
        if isinstance(self.method, NeedsFullRank) and self.method.needs_full_rank:
            return _refuse_rank(self.method(system), self.manifest)
        return reduce_rank(system, self.method(system), self.tolerance, self.manifest.constraints.rank)

    def solve_all(self, systems: Mapping[str, System]) -> dict[str, Edit]:
        """The edit of every group."""
        return {group: self(system) for group, system in systems.items()}


def reduce_rank(system: System, edit: Edit, tolerance: float, most: int | None) -> Edit:
    """`edit` at the least rank within `tolerance` of it in the metric of the system's own keys and kept rows."""
    if edit.form == "dense" or not any(map(len, edit.right)):
        return edit
    keyed = tuple(chain.WeightedBlock(block.keys, block.keys, block.weights) for block in system.blocks)
    metric = chain.Chain(keyed, system.kept.moment, system.ridge, system.cache)
    factor, grams = metric.factor(), _left_grams(system, edit)
    small = [subspace.reduce(*pair, factor, tolerance, most) for pair in zip(edit.right, grams, strict=True)]
    if len(small) > 1:
        small = [one if len(one.right) else _zero_at_rank_one(one) for one in small]
    mixes = [one.mix for one in small] * (len(edit.left) // len(small))
    left = tuple(part @ mix for part, mix in zip(edit.left, mixes, strict=True))
    rank, discarded = max(len(one.right) for one in small), max(one.discarded for one in small)
    stats = replace(edit.stats, rank=rank, discarded=discarded)
    return Edit(edit.form, left, tuple(one.right for one in small), stats)


def _refuse_rank(edit: Edit, manifest: Manifest) -> Edit:
    """The edit; E430 where the manifest allows less than its rank."""
    most = manifest.constraints.rank
    if most is None or edit.stats.rank <= most:
        return edit
    raise EditcError(
        Diagnostic(
            "E430",
            f"`{manifest.method}` needs rank {edit.stats.rank} for what it promises, and {most} is allowed",
            manifest.constraints.at("rank"),
            manifest.source,
            help=f"raise `rank` to {edit.stats.rank}; `editc explain {manifest.method}` says which options need less",
        )
    )


def _zero_at_rank_one(one: subspace.ReducedProduct) -> subspace.ReducedProduct:
    """A layer that does not change, at rank one: a file stores no factor without rows."""
    return replace(one, mix=np.zeros((len(one.mix), 1)), right=np.zeros((1, one.right.shape[1])))


def _left_grams(system: System, edit: Edit) -> list[Array]:
    """For each right factor the sum of left_l^T left_l (m, m) over its layers, left_l = W_l left for a shared edit."""
    if edit.form == "shared":
        return [np.asarray(edit.left[0].T @ system.total_gram() @ edit.left[0])]
    grams = [np.asarray(left.T @ left) for left in edit.left]
    return grams if len(edit.right) > 1 else [np.asarray(np.sum(grams, axis=0))]
