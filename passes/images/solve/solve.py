"""Solve: run the method on each group's joint system, and keep the least rank that loses next to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.ir import Array, Edit, Problem, Solution, System
from editc.core.manifest import Manifest
from editc.core.ports import Cache, Context
from editc.numerics import chain, nullspace, ridge, subspace
from editc.passes.images.keys import fuse
from editc.passes.images.method import method_of, name_of_method
from editc.passes.images.solve import moderate
from editc.passes.images.solve.strength import tune
from editc.passes.methods import Method, Whole

RANK_TOLERANCE = 0.1
"""Share of the edit, in the problem's own metric, that a lower rank may lose: see `numerics.subspace.reduce`."""


@dataclass(frozen=True)
class Solve:
    """Problem -> Solution: all edits of a manifest in one solve a group, with the method that they name."""

    tolerance: float = RANK_TOLERANCE
    name: ClassVar[str] = "solve"

    def __call__(self, problem: Problem, ctx: Context) -> Solution:
        """Raises E401 (singular), E402 (NaN or infinity), E403 (no strength meets the bounds), E404 (no change), and
        where shares are to be measured what `moderate.balanced` raises."""
        plan = problem.plan
        if plan.manifest.fused:
            return self._fused(problem, ctx)
        name, method = name_of_method(plan), method_of(plan)
        systems = {g: replace(s, gram=_gram(s, ctx.cache), shelf=ctx.cache) for g, s in problem.systems.items()}
        try:
            systems = alike({group: self._tuned(s, method, plan.manifest) for group, s in systems.items()})

            def solved(systems: Mapping[str, System]) -> dict[str, Edit]:
                return {group: self.edit(system, method, plan.manifest) for group, system in systems.items()}

            systems, balances = moderate.balanced(problem, systems, solved, ctx)
            edits = solved(systems)
        except (ridge.SingularError, ridge.NonFiniteError, nullspace.NoRoomError, nullspace.NoPartError) as error:
            raise EditcError(_diagnosed(error, plan.manifest)) from error
        _refuse_nothing(systems, plan.manifest)
        strengths = tuple(block.strength for block in next(iter(systems.values())).blocks)
        record: Mapping[str, Any] = {
            "method": name,
            "options": {k: v for k, v in vars(method).items() if v is not None},
        }
        records = (record,) * len(plan.manifest.image_edits)
        return Solution(replace(problem, systems=systems), edits, records, strengths, balances)

    def _fused(self, problem: Problem, ctx: Context) -> Solution:
        try:
            return fuse.solved(problem, ctx)
        except (ridge.SingularError, ridge.NonFiniteError) as error:
            raise EditcError(_diagnosed(error, problem.plan.manifest)) from error

    def edit(self, system: System, method: Method, manifest: Manifest) -> Edit:
        """The method's edit at the least rank that loses at most `tolerance`, and at most the rank constraint.

        Of a method that is `whole` the edit as it is; E430 where the constraint does not allow its rank.
        """
        if isinstance(method, Whole) and method.whole:
            return _entire(method(system), manifest)
        return reduced(system, method(system), self.tolerance, manifest.constraints.rank)

    def _tuned(self, system: System, method: Method, manifest: Manifest) -> System:
        if all(request.strength != "auto" for request in manifest.image_edits):
            return system
        return tune(system, lambda s: self.edit(s, method, manifest), manifest)


def alike(systems: Mapping[str, System]) -> dict[str, System]:
    """The systems with one strength a request: the greatest that `strength: auto` found in any group."""
    found = [max(block.strength for block in row) for row in zip(*(s.blocks for s in systems.values()), strict=True)]
    return {
        group: replace(s, blocks=tuple(replace(b, strength=f) for b, f in zip(s.blocks, found, strict=True)))
        for group, s in systems.items()
    }


def reduced(system: System, edit: Edit, tolerance: float, most: int | None) -> Edit:
    """`edit` at the least rank within `tolerance` of it in the metric of the system's own keys and kept rows."""
    if edit.form == "dense" or not any(map(len, edit.right)):
        return edit
    keyed = tuple(chain.Part(block.keys, block.keys, block.weights) for block in system.blocks)
    metric = chain.Chain(keyed, system.kept.moment, system.ridge, system.shelf)
    factor, grams = metric.factor(), _left_grams(system, edit)
    small = [subspace.reduce(*pair, factor, tolerance, most) for pair in zip(edit.right, grams, strict=True)]
    if len(small) > 1:
        small = [one if len(one.right) else _nothing(one) for one in small]
    mixes = [one.mix for one in small] * (len(edit.left) // len(small))
    left = tuple(part @ mix for part, mix in zip(edit.left, mixes, strict=True))
    rank, discarded = max(len(one.right) for one in small), max(one.discarded for one in small)
    stats = replace(edit.stats, rank=rank, discarded=discarded)
    return Edit(edit.form, left, tuple(one.right for one in small), stats)


def _gram(system: System, cache: Cache | None) -> Array:
    """sum_l W_l^T W_l, which no manifest changes: kept under a hash of the weights where it took long."""
    if cache is None or len(system.kept.moment) < chain.LEAST:
        return system.total_gram()
    key = reduce(chain.mark, system.weights, f"{chain.LAYOUT} weights")
    found = cache.get(key)
    if found is None:
        found = {"it": system.total_gram()}
        cache.put(key, found)
    return np.ascontiguousarray(found["it"])


def _entire(edit: Edit, manifest: Manifest) -> Edit:
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


def _nothing(one: subspace.Reduced) -> subspace.Reduced:
    """A layer that does not change, at rank one: a file stores no factor without rows."""
    return replace(one, mix=np.zeros((len(one.mix), 1)), right=np.zeros((1, one.right.shape[1])))


def _left_grams(system: System, edit: Edit) -> list[Array]:
    """For each right factor the sum of left_l^T left_l (m, m) over its layers, left_l = W_l left for a shared edit."""
    if edit.form == "shared":
        return [np.asarray(edit.left[0].T @ system.total_gram() @ edit.left[0])]
    grams = [np.asarray(left.T @ left) for left in edit.left]
    return grams if len(edit.right) > 1 else [np.asarray(np.sum(grams, axis=0))]


def _refuse_nothing(systems: Mapping[str, System], manifest: Manifest) -> None:
    """Keys that are their own targets make an edit that does nothing at any strength: say so before writing."""
    for system in systems.values():
        for block in system.blocks:
            found = block.request.shares is not None
            if not found and block.strength > 0 and np.array_equal(block.keys, block.targets):
                raise EditcError(
                    Diagnostic(
                        "E404",
                        f"`{block.request.concept}` and its target are the same to the text encoder: nothing to edit",
                        block.request.at("to"),
                        manifest.source,
                        help="name another target",
                    )
                )


def _diagnosed(error: ArithmeticError, manifest: Manifest) -> Diagnostic:
    span = manifest.image_edits[0].at("lamb")
    if isinstance(error, nullspace.NoRoomError):
        return _no_room(error, manifest)
    if isinstance(error, nullspace.NoPartError):
        return _no_part(error, manifest)
    if isinstance(error, ridge.NonFiniteError):
        help_ = "the text encoder or the weights hold NaN or infinity: the checkpoint is damaged"
        return Diagnostic("E402", f"{error}: nothing can be solved with it", span, manifest.source, help=help_)
    help_ = "raise `lamb` (a ridge above 0 makes it regular), or preserve more prompts"
    return Diagnostic("E401", str(error), span, manifest.source, help=help_)


def _no_room(error: nullspace.NoRoomError, manifest: Manifest) -> Diagnostic:
    named = manifest.preserve.concepts or manifest.preserve.prompts or manifest.kept
    what = "preserve fewer prompts: each holds as many directions as it has rows"
    if manifest.preserve.corpus == "default":
        what = (
            "the whole default list is held: name the few prompts that must not move, with `corpus: none` beside them, "
            "and let `verify.images` count what the rest pays"
        )
    span = manifest.preserve.at() if named else manifest.image_edits[0].at("method")
    help_ = f"{what}; or hold less of each (`editc explain {manifest.method}` names the options), or use `method: uce`"
    return Diagnostic("E410", str(error), span, manifest.source, help=help_)


def _no_part(error: nullspace.NoPartError, manifest: Manifest) -> Diagnostic:
    request = manifest.image_edits[error.index]
    message = f"`{request.concept}` lies all but entirely in what is preserved: no change that is left free reaches it"
    help_ = "do not preserve other names of it, or use `method: uce`, which weighs one against the other"
    return Diagnostic("E411", message, request.at(), manifest.source, help=help_)
