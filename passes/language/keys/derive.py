"""Derive, for language models: the keys of each edit, the values to add at them, and the second moments of what the
matrices read in ordinary text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np

from editc.core.delta import Array, Site
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.language_edits import Redirect
from editc.core.language_problem import CloseEdits, ConceptScores, LanguageProblem, MemoryKey
from editc.core.manifest import Manifest
from editc.core.network import Network, SecondMoment
from editc.core.plan import Plan, Stage
from editc.core.ports import Context
from editc.numerics import memory as memories
from editc.numerics.ridge import factorise
from editc.passes.language.keys import concept_columns
from editc.passes.language.keys import moments as statistics
from editc.passes.language.keys.problem import build_problem
from editc.passes.language.keys.routed import drop_idle_experts
from editc.passes.language.keys.values import find_value, group_means, with_made_values
from editc.passes.language.locate import stages as located
from editc.passes.language.locate.stages import works_on
from editc.passes.methods import MakesValues
from editc.passes.sites import is_expert, stack_of
from editc.passes.stored import read_weight
from editc.registry.options import construct

RIDGE = 0.01
"""Ridge that is added to E[k k^T], as a share of its mean diagonal entry. With it two tokens of text for each
coordinate are enough (see `moments.TOKENS_PER_COORDINATE`)."""
INTERFERING = 0.3
"""The cosine under C^-1 from which on the keys of two edits count as interfering. On SmolLM2 each pair of France,
Japan, Germany and Italy has 0.27 to 0.59 in layers 3 to 7 (France and Japan the least), and other countries suffer
when two of them are edited."""
EQUAL_KEYS = 1 - 1e-6
"""The cosine from which on two keys count as the same key: keys are read in float32, and its
rounding moves a cosine by less."""


@dataclass(frozen=True)
class DeriveLanguage:
    """The pass Plan -> LanguageProblem. It runs the model on every edited name in its contexts, and on ordinary
    text."""

    name: ClassVar[str] = "derive"
    """The pass's name, in progress and errors."""

    def __call__(self, plan: Plan, ctx: Context) -> LanguageProblem:
        """Raises E332 (the model has no chat template), E333 (a subject stands only in the attention sink), E334 (a
        prompt does not contain its subject), E336 (no value could be learned), E343 (no column names a concept), E344
        (a matrix does not write to the residual stream), E345 (a preserved name stands only in the attention sink),
        E401 (two edits have the same key)."""
        network = _network_of(ctx)
        plan, concept_scores = _score_stages(plan, network, ctx)
        problem = drop_idle_experts(build_problem(plan, ctx), network)
        plan = problem.plan
        texts = _corpus_of(plan.manifest)
        memory_keys = _with_made_values(plan, problem.memory_keys, network)
        watched: Iterable[object] = ctx.progress("derive", problem.memory_keys) if ctx.progress else problem.memory_keys
        for i, _ in enumerate(watched):
            if not len(memory_keys[i].residual):
                memory_keys[i] = _with_value(plan, memory_keys, i, network, ctx)
        names = [plan.sites[i].name for stage in plan.stages if works_on(stage) == "memory" for i in stage.sites]
        found = statistics.moments(network, names, texts, ctx.cache) if names else {}
        moments = with_ridges(found)
        corpus = sha256("\n\n".join(texts).encode("utf-8", "surrogatepass")).hexdigest() if names else ""
        problem = replace(
            problem, memory_keys=tuple(memory_keys), concept_scores=concept_scores, moments=moments, corpus=corpus
        )
        near = tuple(_close_pairs(problem, network))
        _refuse_equal_keys(problem, near)
        return replace(problem, close_edits=near)


def with_ridges(found: Mapping[str, SecondMoment]) -> Mapping[str, Array]:
    """Site name -> its second moment (d_in, d_in) plus RIDGE times its mean diagonal entry, or that of all experts of
    its layer: some of them read little or nothing of a text."""
    sizes = {name: float(np.trace(one.second)) / len(one.second) for name, one in found.items()}
    layers = {name: stack_of(name) for name in found}
    means = {layer: np.mean([sizes[name] for name in found if layers[name] == layer]) for layer in layers.values()}
    return {
        name: np.asarray(one.second + RIDGE * means[layers[name]] * np.eye(len(one.second)))
        for name, one in found.items()
    }


def mean_keys(network: Network, site: Site, memory_keys: Sequence[MemoryKey], changed: Any) -> Array:
    """The keys (d_in, m) of m memory keys at one matrix: what the matrix reads at each, the mean over its contexts.

    `changed`: the edited weights to run with, by name; None runs the base.
    """
    groups = [one.contexts for one in memory_keys]
    return group_means(
        network.read_keys([site.name], [spot for one in groups for spot in one], changed)[site.name], groups
    )


def _score_stages(plan: Plan, network: Network, ctx: Context) -> tuple[Plan, Mapping[str, ConceptScores]]:
    """Score the columns of every stage that works on columns. Returns the plan without the matrices in which no column
    is removed, and site name -> scores for the others. Raises E334, E343, E344."""
    every: dict[str, ConceptScores] = {}
    for number, stage in enumerate(plan.stages):
        if works_on(stage) != "columns":
            continue
        edits = [edit for i in stage.edits if isinstance(edit := plan.manifest.language_edits[i], Redirect)]
        sites, read = [plan.sites[i] for i in stage.sites], partial(read_weight, ctx.weights)
        try:
            found = concept_columns.score_columns(sites, network, read, [edit.names for edit in edits])
        except LookupError as error:
            raise EditcError(Diagnostic("E334", str(error), edits[0].at("concept"), plan.manifest.source)) from error
        method = build_method(plan, stage)
        chosen = concept_columns.sites_with_columns(sites, found, edits, method, plan.manifest.source)
        strongest = concept_columns.strongest_columns(sites, found, network, read, method.count)
        why = {site.name: "; ".join(str(one) for one in strongest if one.site == site) for site in chosen}
        stages = list(plan.stages)
        stages[number] = replace(stage, sites=tuple(i for i in stage.sites if plan.sites[i] in chosen))
        plan = replace(plan, stages=tuple(stages), evidence={**plan.evidence, **why})
        every |= {site.name: found[site.name] for site in chosen}
    return (located.drop_unused_sites(plan) if every else plan), every


def build_method(plan: Plan, stage: Stage) -> Any:
    """The stage's method, constructed with the options that its edits give."""
    edits = [plan.manifest.language_edits[i] for i in stage.edits]
    given = {name: value for edit in edits for name, value in edit.options.items()}
    return construct(stage.method, given, plan.manifest.seed)


def _with_made_values(plan: Plan, memory_keys: Sequence[MemoryKey], network: Network) -> list[MemoryKey]:
    """The memory keys, with `residual` filled for the edits whose method makes its values itself."""
    found = list(memory_keys)
    for stage in plan.stages:
        method = build_method(plan, stage)
        if not isinstance(method, MakesValues):
            continue
        for index in stage.edits:
            places = [i for i, one in enumerate(found) if one.edit == index]
            made = with_made_values(plan, stage, method, [found[i] for i in places], network)
            for i, one in zip(places, made, strict=True):
                found[i] = one
    return found


def _with_value(plan: Plan, memory_keys: Sequence[MemoryKey], index: int, network: Network, ctx: Context) -> MemoryKey:
    """Memory key number `index` with `residual` filled. The plain and the chat key of one name share one value, which
    is learned on the contexts of both."""
    memory_key = memory_keys[index]
    stage = next(one for one in plan.stages if memory_key.edit in one.edits)
    first = next(
        (one for one in memory_keys[:index] if (one.edit, one.name) == (memory_key.edit, memory_key.name)), None
    )
    if first is not None and first.value is not None:
        return replace(memory_key, residual=first.residual, value=first.value)
    same_name = [one for one in memory_keys if (one.edit, one.name) == (memory_key.edit, memory_key.name)]
    return find_value(plan, stage, memory_key, same_name, network, ctx.cache)


def _close_pairs(problem: LanguageProblem, network: Network) -> Iterator[CloseEdits]:
    """Pairs of edits of one stage whose keys are close at the stage's first matrix, the closest first. Each pair stands
    once, with its closest two names."""
    found: dict[tuple[int, int], CloseEdits] = {}
    for stage in problem.plan.stages:
        own = [one for one in problem.memory_keys if one.edit in stage.edits]
        if len(own) < 2:
            continue
        cosines = _cosines(_first_memory(problem.plan, stage), own, problem, network)
        for i, j in zip(*np.triu_indices(len(own), 1), strict=True):
            pair, size = (own[i].edit, own[j].edit), float(cosines[i, j])
            if pair[0] != pair[1] and abs(size) >= max(INTERFERING, abs(found[pair].cosine) if pair in found else 0.0):
                found[pair] = CloseEdits(pair, (own[i].name, own[j].name), size)
    yield from sorted(found.values(), key=lambda one: (-abs(one.cosine), one.edits))


def _first_memory(plan: Plan, stage: Stage) -> list[Site]:
    """The first matrix of a stage; of experts, all of its layer, which are one memory."""
    sites = [plan.sites[i] for i in stage.sites]
    first = sites[0].name
    return [one for one in sites if stack_of(one.name) == stack_of(first)] if is_expert(first) else sites[:1]


def _cosines(sites: Sequence[Site], own: Sequence[MemoryKey], problem: LanguageProblem, network: Network) -> Array:
    """The cosines (m, m) under C^-1 of m memory keys at matrices that add to one output."""
    gram = np.zeros((len(own), len(own)))
    for site in sites:
        keys = mean_keys(network, site, own, None)
        gram += keys.T @ factorise(problem.moments[site.name]).solve(keys)
    return memories.cosines(gram)


def _refuse_equal_keys(problem: LanguageProblem, near: Sequence[CloseEdits]) -> None:
    """Raise E401 if two edits of methods that write one matrix have the same key. One key cannot hold two values, and
    whether the solver would notice depends on rounding."""
    manifest = problem.plan.manifest
    exact = {index for stage in problem.plan.stages if located.is_single(stage.method) for index in stage.edits}
    for one in near:
        if abs(one.cosine) >= EQUAL_KEYS and set(one.edits) <= exact:
            first, second = (manifest.language_edits[index] for index in one.edits)
            message = f"`{one.names[0]}` has the same key in two edits, and one key cannot have two values"
            help_ = "keep one of them, or take `method: memit`, which finds a value between the two"
            place = first.at("subject")
            related = ((place, "the other one"),) if place else ()
            span, source = second.at("subject"), manifest.source
            raise EditcError(Diagnostic("E401", message, span, source, help=help_, related=related))


def _corpus_of(manifest: Manifest) -> tuple[str, ...]:
    """The paragraphs of ordinary text for the second moments: the manifest's corpus, else Python's help."""
    return statistics.corpus(None if manifest.corpus is None else manifest.corpus.text)


def _network_of(ctx: Context) -> Network:
    """The context's model. A build of a language model always has one."""
    assert ctx.network is not None
    return ctx.network
