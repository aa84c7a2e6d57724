"""Experts as memories: which of them read an edit's keys, and how they share what is to be written.

A layer with experts adds sum_e w_e W_e k_e to the stream, w_e the router's weight of expert e and 0 for most. With
w_e k_e as the key of W_e that is a sum of linear memories, so what solves a dense MLP solves an expert too. W_e reads
no key where the router sends the subject elsewhere, and then nothing can be written there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from editc.core.delta import Array, Site
from editc.core.language_problem import LanguageProblem, MemoryKey
from editc.core.network import Network
from editc.core.plan import Plan, Stage
from editc.passes.language.keys.values import group_means
from editc.passes.language.locate.stages import drop_unused_sites, works_on
from editc.passes.sites import is_expert, layer_of


def drop_idle_experts(problem: LanguageProblem, network: Network) -> LanguageProblem:
    """The problem without the experts that read no key of their stage's edits."""
    plan = problem.plan
    if not any(is_expert(site.name) for site in plan.sites):
        return problem
    stages = tuple(_without_idle(stage, plan, problem, network) for stage in plan.stages)
    return replace(problem, plan=drop_unused_sites(replace(plan, stages=stages)))


def _without_idle(stage: Stage, plan: Plan, problem: LanguageProblem, network: Network) -> Stage:
    """The stage without its idle experts. One that is not for memories keeps them all."""
    experts = [plan.sites[i] for i in stage.sites if is_expert(plan.sites[i].name)]
    own = [one for one in problem.memory_keys if one.edit in stage.edits]
    if works_on(stage) != "memory" or not experts or not own:
        return stage
    found = sizes(experts, own, network, None)
    idle = {site.name for site in experts if not found[site.name].any()}
    return replace(stage, sites=tuple(i for i in stage.sites if plan.sites[i].name not in idle))


def sizes(
    experts: Sequence[Site], memory_keys: Sequence[MemoryKey], network: Network, changed: Mapping[str, Array] | None
) -> Mapping[str, Array]:
    """Site name -> |k|^2 (m,) of what each expert reads at m memory keys, the mean over contexts; 0 where the router
    sends every context elsewhere."""
    groups = [one.contexts for one in memory_keys]
    spots = [spot for one in groups for spot in one]
    found = network.read_keys([site.name for site in experts], spots, changed)
    return {name: np.sum(group_means(keys, groups) ** 2, axis=0) for name, keys in found.items()}


def parts_left(
    sites: Sequence[Site], memory_keys: Sequence[MemoryKey], network: Network, changed: Mapping[str, Array]
) -> Array:
    """By how much what is still to be written at each of m keys is divided for the first of the matrices that are left,
    (m,).

    Each matrix counts as one, and so do all experts of a layer that read the key. They share what falls to the layer by
    their |k|^2, which is the least change of their matrices (Frobenius norm). inf where the first matrix reads nothing.
    """
    experts = [site for site in sites if is_expert(site.name)]
    count = np.full(len(memory_keys), float(len(sites) - len(experts)))
    if not experts:
        return count
    found, layers = sizes(experts, memory_keys, network, changed), dict[int, Array]()
    for one in experts:
        layer = layer_of(one.name)
        layers[layer] = found[one.name] + layers.get(layer, 0.0)
    for total in layers.values():
        count[total > 0] += 1
    return _part_of_expert(count, sites[0], found, layers) if is_expert(sites[0].name) else count


def _part_of_expert(count: Array, site: Site, found: Mapping[str, Array], layers: Mapping[int, Array]) -> Array:
    """`count` (m,) times how much less than its whole layer an expert reads."""
    own, total = found[site.name], layers[layer_of(site.name)]
    less = np.divide(total, own, out=np.ones_like(own), where=own > 0)
    return np.where(own > 0, count * less, np.inf)
