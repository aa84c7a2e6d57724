"""Solve, for language models: stage by stage and layer by layer, each on the model as the ones before it left it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np

from editc.core.delta import Array, Site
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.language_edits import Ablation
from editc.core.language_problem import LanguageProblem, Memory, MemoryKey, ScoredColumns, Writer
from editc.core.network import Network
from editc.core.plan import Plan, Stage
from editc.core.ports import Context
from editc.core.problem import Problem
from editc.core.prompts import Spot
from editc.core.solution import Edit, Solution, Stats
from editc.numerics import nullspace, ridge
from editc.numerics.memory import interference
from editc.passes.diagnoses import SolveHelp, diagnose_solve
from editc.passes.language.keys.derive import build_method, mean_keys
from editc.passes.language.keys.routed import parts_left
from editc.passes.language.keys.values import group_means
from editc.passes.language.locate.stages import is_single, works_on
from editc.passes.language.solve.edited_model import EditedModel, combine_edits, dense_change
from editc.passes.language.solve.gradients import solve_gradients
from editc.passes.sites import layer_of

EQUAL_TO_EDIT = 0.9
"""The cosine under C^-1 from which on a default name's key counts as the edit's own key, so that it is not preserved.
Chosen by hand: preserving such a key would undo most of the edit."""

HELP = SolveHelp(
    non_finite="the weights hold NaN or infinity: the checkpoint is damaged",
    singular="two edits have the same subject in the same words, or the sets of prompts are equal: merge the edits",
)


@dataclass(frozen=True)
class SolveLanguage:
    """The pass LanguageProblem -> Solution. The edits of one stage are solved together."""

    name: ClassVar[str] = "solve"
    """The pass's name, in progress and errors."""

    def __call__(self, problem: Problem, ctx: Context) -> Solution:
        """Raises E401 (the system is singular), E402 (NaN or infinity), E450 (no direction is quiet enough in ordinary
        text), E451 (the method refuses the edits)."""
        assert isinstance(problem, LanguageProblem) and ctx.network is not None
        plan, state = problem.plan, EditedModel(ctx.weights, ctx.network, {}, {})
        records: dict[int, Mapping[str, Any]] = {}
        for stage in plan.stages:
            method = build_method(plan, stage)
            try:
                _solve_stage(stage, method, problem, state, ctx)
            except (ArithmeticError, ValueError) as error:
                raise EditcError(_diagnose(error, plan, stage)) from error
            options = {name: value for name, value in vars(method).items() if value is not None}
            records |= {index: {"method": stage.method, "options": options} for index in stage.edits}
        groups = dict.fromkeys(site.group for site in plan.sites)
        edits = {
            group: _group_edits([combine_edits(state.edits[one.name]) for one in plan.sites_of(group)])
            for group in groups
        }
        strengths = tuple(float(getattr(edit, "strength", 1.0)) for edit in plan.manifest.language_edits)
        methods = tuple(records[i] for i in range(len(records)))
        return Solution(problem, edits, methods, strengths, training=state.training)


def _group_edits(edits: Sequence[Edit]) -> Edit:
    """Join the edits of a group's matrices, in the order of its sites, into one edit of the group. Its rank and its
    condition are the largest among them."""
    worst = max(edits, key=lambda one: one.stats.condition).stats
    stats = replace(
        worst, rank=max(one.stats.rank for one in edits), notes=tuple(n for e in edits for n in e.stats.notes)
    )
    if any(one.form == "dense" for one in edits):
        return Edit("dense", tuple(map(dense_change, edits)), (), stats)
    return Edit("low-rank", tuple(one.left[0] for one in edits), tuple(one.right[0] for one in edits), stats)


def _solve_stage(stage: Stage, method: Any, problem: LanguageProblem, state: EditedModel, ctx: Context) -> None:
    """Solve one stage and add its edits to `state`. Raises the exceptions of the numerics and of the method."""
    sites = [problem.plan.sites[i] for i in stage.sites]
    SOLVERS[works_on(stage)](stage, method, problem, state, sites, ctx)


def _solve_memories(
    stage: Stage, method: Any, problem: LanguageProblem, state: EditedModel, sites: Sequence[Site], ctx: Context
) -> None:
    """Solve a stage that writes values at keys, matrix by matrix."""
    watched = ctx.progress("solve", sites) if ctx.progress else sites
    memory_keys = [one for one in problem.memory_keys if one.edit in stage.edits]
    before = [
        one
        for one in problem.memory_keys
        if any(one.edit in s.edits for s in _earlier_memory_stages(problem.plan, stage))
    ]
    preserved = tuple(dict.fromkeys(group for index in stage.edits for group in problem.preserved[index]))
    defaults = tuple(
        dict.fromkeys(group for index in stage.edits for group in problem.preserved_by_default.get(index, ()))
    )
    goal = None if is_single(stage.method) else _final_state(memory_keys, sites, problem, state)
    for number, site in enumerate(watched):
        assert isinstance(site, Site)
        memory = _without_unread(_build_memory(site, memory_keys, problem, state, goal, sites[number:]))
        if not memory.keys.size:
            state.add(site, _no_change(site))
            continue
        keys = [_preserved_keys(site, before, preserved, state), _default_keys(site, memory, defaults, state)]
        state.add(site, method(replace(memory, preserved=np.hstack(keys))))


def _without_unread(memory: Memory) -> Memory:
    """The memory without the keys that its matrix does not read: an expert to which the router does not send them."""
    read = memory.keys.any(axis=0)
    if read.all():
        return memory
    return replace(memory, keys=memory.keys[:, read], bare=memory.bare[:, read], residuals=memory.residuals[:, read])


def _no_change(site: Site) -> Edit:
    """The edit of a matrix that reads no key any more, because the edits below it changed where the router sends it."""
    height, width = site.shape[::-1] if site.transposed else site.shape
    return Edit("low-rank", (np.zeros((height, 1)),), (np.zeros((1, width)),), Stats(math.nan, math.nan, 0))


def _earlier_memory_stages(plan: Plan, stage: Stage) -> Iterator[Stage]:
    """The stages before this one that write to memories, whose keys this one preserves."""
    for one in plan.stages[: plan.stages.index(stage)]:
        if works_on(one) == "memory":
            yield one


def _build_memory(
    site: Site,
    memory_keys: Sequence[MemoryKey],
    problem: LanguageProblem,
    state: EditedModel,
    goal: tuple[int, Array] | None,
    left: Sequence[Site],
) -> Memory:
    """One matrix with the keys that the model reads now and the residuals to write, without preserved keys.

    `goal`: the last layer and the residual stream (d, m) to reach after it. What the stream still lacks is divided
    among the matrices `left` that are not solved yet, this one included (`routed.parts_left`). None: this matrix writes
    the whole values."""
    network, running = state.network, state.weights_now
    keys = mean_keys(network, site, memory_keys, running)
    bare = network.read_keys([site.name], [one.contexts[0] for one in memory_keys], running)[site.name]
    if goal is None:
        residuals = _scaled_residuals(memory_keys, problem)
    else:
        layer, goal_state = goal
        missing = goal_state - _mean_states(network, layer, memory_keys, running)
        residuals = missing / (parts_left(left, memory_keys, network, running) * (network.multiplier or 1.0))
    nothing = np.zeros((len(keys), 0))
    return Memory(keys, bare, residuals, problem.moments[site.name], nothing, state.current_weight(site))


def _preserved_keys(
    site: Site, before: Sequence[MemoryKey], groups: Sequence[tuple[Spot, ...]], state: EditedModel
) -> Array:
    """The keys (d_in, p) whose outputs must stay: those of the edits of earlier stages (`before`), and one for each
    group of preserved positions. Each is the mean over its contexts or positions."""
    width = site.shape[1]
    earlier = mean_keys(state.network, site, before, state.weights_now) if before else np.zeros((width, 0))
    if not groups:
        return earlier
    spots = [spot for group in groups for spot in group]
    preserved = state.network.read_keys([site.name], spots, state.weights_now)[site.name]
    found = np.hstack([earlier, group_means(preserved, groups)])
    return found[:, found.any(axis=0)]


def _default_keys(site: Site, memory: Memory, groups: Sequence[tuple[Spot, ...]], state: EditedModel) -> Array:
    """The keys (d_in, p) of the default names. A key that the model hardly distinguishes from an edit's own is left
    out, because preserving it would undo the edit."""
    if not groups:
        return np.zeros((site.shape[1], 0))
    spots = [spot for group in groups for spot in group]
    found = group_means(state.network.read_keys([site.name], spots, state.weights_now)[site.name], groups)
    found = found[:, found.any(axis=0)]
    count = memory.keys.shape[1]
    close = interference(np.hstack([memory.keys, found]), ridge.factorise(memory.moment))[:count, count:]
    return found[:, np.abs(close).max(axis=0) < EQUAL_TO_EDIT]


def _final_state(
    memory_keys: Sequence[MemoryKey], sites: Sequence[Site], problem: LanguageProblem, state: EditedModel
) -> tuple[int, Array]:
    """The last edited layer, and the residual stream (d, m) to reach after it. A value that was learned at the
    MLP's output is scaled as the model scales that output."""
    layer, residuals = layer_of(sites[-1].name), _scaled_residuals(memory_keys, problem)
    at_output = np.array([one.value is not None and not problem.plan.family.normed for one in memory_keys])
    residuals = residuals * np.where(at_output, state.network.multiplier or 1.0, 1.0)
    return layer, _mean_states(state.network, layer, memory_keys, state.weights_now) + residuals


def _mean_states(network: Network, layer: int, memory_keys: Sequence[MemoryKey], changed: Mapping[str, Array]) -> Array:
    """The residual stream (d, m) after a layer at the subject of each memory key, the mean over its contexts, in the
    model with the `changed` weights."""
    groups = [one.contexts for one in memory_keys]
    return group_means(network.states([layer], [spot for one in groups for spot in one], changed)[layer], groups)


def _scaled_residuals(memory_keys: Sequence[MemoryKey], problem: LanguageProblem) -> Array:
    """The values to add at the memory keys, (d, m), each times its edit's strength."""
    edits = problem.plan.manifest.language_edits
    strengths = np.array([float(getattr(edits[one.edit], "strength", 1.0)) for one in memory_keys])
    return np.asarray(np.stack([one.residual for one in memory_keys], axis=1) * strengths)


def _solve_writers(
    stage: Stage, method: Any, problem: LanguageProblem, state: EditedModel, sites: Sequence[Site], ctx: Context
) -> None:
    """Solve a stage that removes directions, of all its concepts at once. Each layer's directions come from the model
    as the stages before this one left it."""
    manifest = problem.plan.manifest
    edits = [edit for i in stage.edits if isinstance(edit := manifest.language_edits[i], Ablation)]
    layers, running = sorted({layer_of(site.name) for site in sites}), dict(state.weights_now)

    def streams(texts: Sequence[str]) -> Mapping[int, Array]:
        """Layer -> residual stream (d, texts) at the end of each text."""
        return state.network.states(layers, [Spot(text) for text in texts], running)

    present, absent = [streams(one.present) for one in edits], [streams(one.absent) for one in edits]
    for site in sites:
        sets = (tuple(one[layer_of(site.name)].T for one in some) for some in (present, absent))
        state.add(site, method(Writer(state.current_weight(site), *sets)))


def _train(
    stage: Stage, method: Any, problem: LanguageProblem, state: EditedModel, sites: Sequence[Site], ctx: Context
) -> None:
    """Train a stage. It is the only one of its manifest, so the model is the base."""
    from editc.passes.language.schemes.model import Trainable
    from editc.passes.language.train.train import train_stage

    edits, state.training = train_stage(problem, stage, method, cast(Trainable, state.network), ctx)
    for site in sites:
        state.add(site, edits[site.name])


def _solve_columns(
    stage: Stage, method: Any, problem: LanguageProblem, state: EditedModel, sites: Sequence[Site], ctx: Context
) -> None:
    """Solve a stage that removes the columns that name its concepts."""
    strengths = np.array([one.strength for one in problem.plan.manifest.redirects])
    for site in sites:
        state.add(site, method(ScoredColumns(state.current_weight(site), problem.concept_scores[site.name], strengths)))


SOLVERS: Mapping[str, Callable[[Stage, Any, LanguageProblem, EditedModel, Sequence[Site], Context], None]] = {
    "memory": _solve_memories,
    "gradients": solve_gradients,
    "writer": _solve_writers,
    "columns": _solve_columns,
    "rows": _train,
}
"""What a method works on -> the function that solves a stage by it."""


def _diagnose(error: Exception, plan: Plan, stage: Stage) -> Diagnostic:
    """The diagnostic for an exception of a stage's solve: E450, E401, E402, or E451 for any other."""
    edit = plan.manifest.language_edits[stage.edits[0]]
    span, source = edit.at("method") or edit.at(), plan.manifest.source
    if isinstance(error, nullspace.NoFreeDirectionError):
        help_ = "raise `energy` (the share of ordinary text that an edit may touch), or take `method: memit`"
        return Diagnostic(
            "E450", "ordinary text uses every direction too much for this method", span, source, help=help_
        )
    refusal = Diagnostic("E451", f"`{stage.method}` cannot make these edits: {error}", span, source)
    return diagnose_solve(error, span, source, HELP) or refusal
