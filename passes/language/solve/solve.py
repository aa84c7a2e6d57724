"""Solve for language models: stage by stage and layer by layer, each on the model as the ones before left it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from editc.core.delta import Array, Site
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.language_problem import LanguageProblem, MemoryKey
from editc.core.manifest import Ablation
from editc.core.network import Memory, Network, ScoredColumns, Spot, Writer
from editc.core.plan import Plan, Stage
from editc.core.ports import Context, Weights
from editc.core.problem import Problem
from editc.core.solution import Edit, Solution
from editc.numerics import nullspace, ridge
from editc.numerics.memory import interference
from editc.passes.diagnoses import SolveHelp, diagnose_solve
from editc.passes.language.keys.derive import build_method, group_means, mean_keys
from editc.passes.language.locate.stages import is_single, works_on
from editc.passes.sites import layer_of
from editc.passes.stored import as_in_file, read_weight, stored_weight

ALIKE = 0.9
"""Cosine under C^-1 from which on a name that is held unasked has an edit's own key."""

HELP = SolveHelp(
    non_finite="the weights hold NaN or infinity: the checkpoint is damaged",
    singular="two edits have the same subject in the same words, or the sets do not differ: make one edit of them",
)


@dataclass
class _State:
    """The edits that are solved so far, and the model with them."""

    weights: Weights
    """The weights of the base."""
    network: Network
    """The model that is run."""
    edits: dict[str, list[Edit]]
    """Site name -> its edits, in the order of the stages."""
    running: dict[str, Array]
    """Site name -> the edited weight, float64, as the file orients it."""

    def add(self, site: Site, edit: Edit) -> None:
        self.edits.setdefault(site.name, []).append(edit)
        W = read_weight(self.weights, site)
        self.running[site.name] = as_in_file(site, stored_weight(W, combine_edits(self.edits[site.name]), 0, site))

    def current(self, site: Site) -> Array:
        """W as it now is, (d_out, d_in)."""
        found = self.running.get(site.name)
        return read_weight(self.weights, site) if found is None else found.T if site.transposed else found


@dataclass(frozen=True)
class SolveLanguage:
    """LanguageProblem -> Solution: all edits that share a method at once."""

    name: ClassVar[str] = "solve"

    def __call__(self, problem: Problem, ctx: Context) -> Solution:
        """Raises E401 (singular), E402 (NaN or infinity), E450 (no quiet direction), E451 (a method refuses)."""
        assert isinstance(problem, LanguageProblem) and ctx.network is not None
        plan, state = problem.plan, _State(ctx.weights, ctx.network, {}, {})
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
        return Solution(problem, edits, tuple(records[i] for i in range(len(records))), strengths)


def combine_edits(edits: Sequence[Edit]) -> Edit:
    """Edits of one matrix as one: factors side by side, dense where one is."""
    if len(edits) == 1:
        return edits[0]
    worst = max(edits, key=lambda one: one.stats.condition).stats
    if any(one.form == "dense" for one in edits):
        total = np.sum([_dense(one) for one in edits], axis=0)
        return Edit("dense", (total,), (), replace(worst, rank=min(total.shape)))
    left, right = np.hstack([one.left[0] for one in edits]), np.vstack([one.right[0] for one in edits])
    return Edit("low-rank", (left,), (right,), replace(worst, rank=len(right)))


def _group_edits(edits: Sequence[Edit]) -> Edit:
    """The edits of a layer's matrices as that of the layer."""
    worst = max(edits, key=lambda one: one.stats.condition).stats
    stats = replace(
        worst, rank=max(one.stats.rank for one in edits), notes=tuple(n for e in edits for n in e.stats.notes)
    )
    if any(one.form == "dense" for one in edits):
        return Edit("dense", tuple(map(_dense, edits)), (), stats)
    return Edit("low-rank", tuple(one.left[0] for one in edits), tuple(one.right[0] for one in edits), stats)


def _dense(edit: Edit) -> Array:
    return edit.left[0] if edit.form == "dense" else edit.left[0] @ edit.right[0]


def _solve_stage(stage: Stage, method: Any, problem: LanguageProblem, state: _State, ctx: Context) -> None:
    sites = [problem.plan.sites[i] for i in stage.sites]
    watched = ctx.progress("solve", sites) if ctx.progress else sites
    kind = works_on(stage)
    if kind == "writer":
        _solve_writers(stage, method, problem, state, sites)
        return
    if kind == "columns":
        _solve_columns(method, problem, state, sites)
        return
    columns = [one for one in problem.columns if one.edit in stage.edits]
    before = [one for one in problem.columns if any(one.edit in s.edits for s in _earlier(problem.plan, stage))]
    kept = tuple(dict.fromkeys(group for index in stage.edits for group in problem.kept[index]))
    around = tuple(dict.fromkeys(group for index in stage.edits for group in problem.spared.get(index, ())))
    goal = None if is_single(stage.method) else _goal(columns, sites, problem, state)
    for number, site in enumerate(watched):
        assert isinstance(site, Site)
        memory = _memory(site, columns, problem, state, goal, len(sites) - number)
        held = [_preserved_keys(site, before, kept, state), _default_keys(site, memory, around, state)]
        state.add(site, method(replace(memory, kept=np.hstack(held))))


def _earlier(plan: Plan, stage: Stage) -> Iterator[Stage]:
    for one in plan.stages[: plan.stages.index(stage)]:
        if works_on(one) == "memory":
            yield one


def _memory(
    site: Site,
    columns: Sequence[MemoryKey],
    problem: LanguageProblem,
    state: _State,
    goal: tuple[int, Array] | None,
    left: int,
) -> Memory:
    """The matrix with its keys as the model now has them. `left` matrices, this one too, share what is still wanted of
    the `goal`; without one the matrix says all that is wanted itself."""
    network, running = state.network, state.running
    keys = mean_keys(network, site, columns, running)
    bare = network.reads([site.name], [one.contexts[0] for one in columns], running)[site.name]
    if goal is None:
        residuals = _wanted_values(columns, problem)
    else:
        layer, state_wanted = goal
        missing = state_wanted - _streams(network, layer, columns, running)
        residuals = missing / (left * (network.multiplier or 1.0))
    return Memory(keys, bare, residuals, problem.moments[site.name], np.zeros((len(keys), 0)))


def _preserved_keys(site: Site, before: Sequence[MemoryKey], kept: Sequence[tuple[Spot, ...]], state: _State) -> Array:
    """The keys (d_in, p) of earlier stages' edits, each the mean over its contexts, and one for each group of spots
    that is kept, the mean over these."""
    width = site.shape[1]
    earlier = mean_keys(state.network, site, before, state.running) if before else np.zeros((width, 0))
    if not kept:
        return earlier
    spots = [spot for group in kept for spot in group]
    return np.hstack([earlier, group_means(state.network.reads([site.name], spots, state.running)[site.name], kept)])


def _default_keys(site: Site, memory: Memory, groups: Sequence[tuple[Spot, ...]], state: _State) -> Array:
    """The keys (d_in, p) of names that are held unasked, without those that the model cannot tell from an edit's own:
    of these one would undo the other."""
    if not groups:
        return np.zeros((site.shape[1], 0))
    spots = [spot for group in groups for spot in group]
    found = group_means(state.network.reads([site.name], spots, state.running)[site.name], groups)
    count = memory.keys.shape[1]
    close = interference(np.hstack([memory.keys, found]), ridge.factorise(memory.moment))[:count, count:]
    return found[:, np.abs(close).max(axis=0) < ALIKE]


def _goal(
    columns: Sequence[MemoryKey], sites: Sequence[Site], problem: LanguageProblem, state: _State
) -> tuple[int, Array]:
    """The last layer that is edited, and what the residual stream (d, columns) is to be after it: a value that was
    learned at the MLP's output arrives there multiplied."""
    layer, wanted = layer_of(sites[-1].name), _wanted_values(columns, problem)
    said = np.array([one.value is not None and not problem.plan.family.normed for one in columns])
    wanted = wanted * np.where(said, state.network.multiplier or 1.0, 1.0)
    return layer, _streams(state.network, layer, columns, state.running) + wanted


def _streams(network: Network, layer: int, columns: Sequence[MemoryKey], running: Mapping[str, Array]) -> Array:
    groups = [one.contexts for one in columns]
    return group_means(network.states([layer], [spot for one in groups for spot in one], running)[layer], groups)


def _wanted_values(columns: Sequence[MemoryKey], problem: LanguageProblem) -> Array:
    """What is to be added (d, columns), each times its edit's strength."""
    edits = problem.plan.manifest.language_edits
    strengths = np.array([float(getattr(edits[one.edit], "strength", 1.0)) for one in columns])
    return np.asarray(np.stack([one.wanted for one in columns], axis=1) * strengths)


def _solve_writers(stage: Stage, method: Any, problem: LanguageProblem, state: _State, sites: Sequence[Site]) -> None:
    """Directions by layer from the model as the stages before left it, of all concepts at once."""
    manifest = problem.plan.manifest
    edits = [edit for i in stage.edits if isinstance(edit := manifest.language_edits[i], Ablation)]
    layers, running = sorted({layer_of(site.name) for site in sites}), dict(state.running)

    def streams(texts: Sequence[str]) -> Mapping[int, Array]:
        return state.network.states(layers, [Spot(text) for text in texts], running)

    present, absent = [streams(one.present) for one in edits], [streams(one.absent) for one in edits]
    for site in sites:
        sets = (tuple(one[layer_of(site.name)].T for one in some) for some in (present, absent))
        state.add(site, method(Writer(state.current(site), *sets)))


def _solve_columns(method: Any, problem: LanguageProblem, state: _State, sites: Sequence[Site]) -> None:
    """Columns that name the concepts."""
    strengths = np.array([one.strength for one in problem.plan.manifest.redirects])
    for site in sites:
        state.add(site, method(ScoredColumns(state.current(site), problem.namings[site.name], strengths)))


def _diagnose(error: Exception, plan: Plan, stage: Stage) -> Diagnostic:
    edit = plan.manifest.language_edits[stage.edits[0]]
    span, source = edit.at("method") or edit.at(), plan.manifest.source
    if isinstance(error, nullspace.NoRoomError):
        help_ = "raise `energy` (the share of ordinary text that an edit may touch), or take `method: memit`"
        return Diagnostic("E450", "no direction is quiet enough in ordinary text", span, source, help=help_)
    refusal = Diagnostic("E451", f"`{stage.method}` refuses this: {error}", span, source)
    return diagnose_solve(error, span, source, HELP) or refusal
