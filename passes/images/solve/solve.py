"""Solve: run the method on each group's joint system, and reduce the edit to the least rank that loses almost
nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Manifest
from editc.core.ports import Context
from editc.core.problem import Problem, System
from editc.core.solution import Edit, Solution
from editc.numerics import nullspace, ridge
from editc.passes.diagnoses import SolveHelp, diagnose_solve
from editc.passes.images.edit_kind import edit_kind_of
from editc.passes.images.measure.base_figures import is_wide, with_base_figures
from editc.passes.images.method import method_of, name_of_method
from editc.passes.images.solve import moderate
from editc.passes.images.solve.solver import RANK_TOLERANCE, Solver
from editc.passes.images.solve.strength import tune
from editc.passes.images.solve.weigh import Weighed, weigh

HELP = SolveHelp(
    non_finite="the text encoder or the weights hold NaN or infinity: the checkpoint is damaged",
    singular="raise `lamb` (a ridge above 0 makes it regular), or preserve more prompts",
)


@dataclass(frozen=True)
class Solve:
    """The pass Problem -> Solution: one joint solve for each group of sites, by the method that the edits share."""

    tolerance: float = RANK_TOLERANCE
    """The share of an edit that a lower rank may lose."""
    name: ClassVar[str] = "solve"
    """The name of the pass in progress output."""

    def __call__(self, problem: Problem, ctx: Context) -> Solution:
        """Return the solution.

        Raises E401 (the system is singular), E402 (NaN or infinity), E403 (no strength meets the bounds), E404 (the
        edit changes nothing), E410 and E411 (what is preserved leaves no room), E430 (the rank bound is too low), and
        what `moderate.find_pulls` raises.
        """
        kind = edit_kind_of(problem.plan.manifest)
        try:
            return kind.solve(problem, ctx) if kind else self._solve(problem, ctx)
        except (
            ridge.SingularError,
            ridge.NonFiniteError,
            nullspace.NoFreeDirectionError,
            nullspace.PreservedKeysError,
        ) as error:
            raise EditcError(_diagnose(error, problem.plan.manifest)) from error

    def _solve(self, problem: Problem, ctx: Context) -> Solution:
        """Find strengths and pulls, then solve every group."""
        plan = problem.plan
        name, solver = name_of_method(plan), Solver(method_of(plan), plan.manifest, self.tolerance)
        systems = {g: _with_base(replace(s, cache=ctx.cache)) for g, s in problem.systems.items()}
        weighed: dict[str, Weighed] = {}
        if _is_weight_open(plan.manifest, ctx):
            weighed = {group: weigh(system, solver, plan.manifest) for group, system in systems.items()}
            systems = {group: one.system for group, one in weighed.items()}
        systems = even_strengths({group: _tune_strengths(system, solver) for group, system in systems.items()})
        systems, pull_searches = moderate.find_pulls(problem, systems, solver, ctx)
        edits = {group: _solve_group(system, solver, weighed.get(group)) for group, system in systems.items()}
        _refuse_no_change(systems, plan.manifest)
        strengths = tuple(block.strength for block in next(iter(systems.values())).blocks)
        given = {option: value for option, value in vars(solver.method).items() if value is not None}
        record: Mapping[str, Any] = {"method": name, "options": given}
        records = (record,) * len(plan.manifest.image_edits)
        return Solution(replace(problem, systems=systems), edits, records, strengths, pull_searches)


def _is_weight_open(manifest: Manifest, ctx: Context) -> bool:
    """True where the weight of what is preserved is looked for: by default, with the key rule that it is chosen for, in
    a model that brings no sentences of its own. Strengths that are looked for, and shares, take the weight as it is."""
    searched = any(request.strength == "auto" or request.kind == "moderate" for request in manifest.image_edits)
    default = manifest.preserve.weight is None and manifest.preserve.corpus == "default"
    return default and manifest.keys == "aligned" and not ctx.contexts and not searched


def _solve_group(system: System, solver: Solver, weighed: Weighed | None) -> Edit:
    """The edit of a system. The search for the weight has solved it, if it found this very system."""
    if weighed is None:
        return solver(system)
    return _note_weight(weighed.edit if weighed.system is system else solver(system), weighed.factor)


def _note_weight(edit: Edit, factor: float) -> Edit:
    """The edit with a sentence on the weight, where it is not the default."""
    if factor == 1:
        return edit
    note = f"what is preserved weighs {factor:.3g} times the default, so that it moves less"
    return replace(edit, stats=replace(edit.stats, notes=(*edit.stats.notes, note)))


def _tune_strengths(system: System, solver: Solver) -> System:
    """Find the strengths of requests with `strength: auto`. Raises E403."""
    manifest = solver.manifest
    auto = any(request.strength == "auto" for request in manifest.image_edits)
    return tune(system, solver, manifest) if auto else system


def even_strengths(systems: Mapping[str, System]) -> dict[str, System]:
    """Give each request one strength in all groups: the greatest that was found in any of them. A system that has
    these strengths is returned as it is."""
    found = [max(block.strength for block in row) for row in zip(*(s.blocks for s in systems.values()), strict=True)]
    return {group: _with_strengths(system, found) for group, system in systems.items()}


def _with_strengths(system: System, strengths: Sequence[float]) -> System:
    """The system with one strength for each block."""
    if [block.strength for block in system.blocks] == list(strengths):
        return system
    blocks = tuple(replace(block, strength=one) for block, one in zip(system.blocks, strengths, strict=True))
    return replace(system, blocks=blocks)


def _with_base(system: System) -> System:
    """Return the system with sum_l W_l^T W_l and, where the layers are wide, what else is measured of them."""
    return with_base_figures(system, system.cache) if is_wide(system) else replace(system, gram=system.total_gram())


def _refuse_no_change(systems: Mapping[str, System], manifest: Manifest) -> None:
    """Raise E404 where all keys of a request equal their targets: such an edit does nothing at any strength."""
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


def _diagnose(error: ArithmeticError, manifest: Manifest) -> Diagnostic:
    """Turn an error of the mathematics into a diagnostic."""
    span = manifest.image_edits[0].at("lamb")
    if isinstance(error, nullspace.NoFreeDirectionError):
        return _no_room(error, manifest)
    if isinstance(error, nullspace.PreservedKeysError):
        return _no_part(error, manifest)
    found = diagnose_solve(error, span, manifest.source, HELP)
    assert found is not None
    return found


def _no_room(error: nullspace.NoFreeDirectionError, manifest: Manifest) -> Diagnostic:
    """Make the E410 of a problem in which what is preserved leaves no direction free."""
    named = manifest.preserve.concepts or manifest.preserve.prompts or manifest.preserve_lines
    what = "preserve fewer prompts: each takes as many directions as it has rows"
    if manifest.preserve.corpus == "default":
        what = (
            "the whole default list is preserved: name only the prompts that must not move, add `corpus: none`, "
            "and let `verify.images` count pictures of the rest"
        )
    span = manifest.preserve.at() if named else manifest.image_edits[0].at("method")
    help_ = (
        f"{what}; or preserve less of each (`editc explain {manifest.method}` names the options), or use `method: uce`"
    )
    return Diagnostic("E410", str(error), span, manifest.source, help=help_)


def _no_part(error: nullspace.PreservedKeysError, manifest: Manifest) -> Diagnostic:
    """Make the E411 of a concept that lies almost entirely in what is preserved."""
    request = manifest.image_edits[error.index]
    message = f"`{request.concept}` lies almost entirely in what is preserved: no allowed change reaches it"
    help_ = "do not preserve other names of it, or use `method: uce`, which weighs one against the other"
    return Diagnostic("E411", message, request.at(), manifest.source, help=help_)
