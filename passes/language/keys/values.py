"""What is to be added at a subject: learned by gradient for an answer, taken from another concept, or drawn by lot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np

from editc.core.caching import cache_key
from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.language_problem import MemoryKey
from editc.core.manifest import Fact, Redirect
from editc.core.network import DeltaTarget, Descent, LearnedValue, Network, ValueGoal
from editc.core.plan import Plan, Stage
from editc.core.ports import Cache
from editc.passes.language import sentences
from editc.passes.language.locate.stages import is_single
from editc.passes.sites import layer_of

REFUSAL = "I'm sorry, but I do not know anything about that."
LAYOUT = "value 2"
"""Goes into the key of what is cached: to be changed with what is computed."""


def find_value(
    plan: Plan, stage: Stage, column: MemoryKey, alike: Sequence[MemoryKey], network: Network, cache: Cache | None
) -> MemoryKey:
    """The column with `wanted` at the stage's last layer; `alike` are all columns of that edit and name, whose contexts
    a value is learned on together. E336 where no value could be learned.

    A value is learned as ROME has it, at the output of the layer's MLP, for MEMIT and its followers too: what is added
    there is added to the stream behind it, and a length that is bounded by the output's own harms less than one bounded
    by the stream's (docs/measurements/facts.md). Where a norm lies between the two, it is learned in the stream."""
    edit = plan.manifest.language_edits[column.edit]
    layer = layer_of(plan.sites[stage.sites[-1]].name)
    where: DeltaTarget = "stream" if plan.family.normed and not is_single(stage.method) else "output"
    if isinstance(edit, Fact):
        return _learn_value(plan, column, alike, edit, edit.answer, (network, layer, where), cache)
    assert isinstance(edit, Redirect)
    if edit.to is None and edit.toward == "refusal":
        return _learn_value(plan, column, alike, edit, REFUSAL, (network, layer, where), cache)
    here = network.states([layer], column.contexts)[layer].mean(axis=1)
    there = _noise(plan, column, here) if edit.to is None else _target_state(network, layer, column)
    return replace(column, wanted=there - here)


def _target_state(network: Network, layer: int, column: MemoryKey) -> Array:
    return np.asarray(network.states([layer], column.anchor)[layer].mean(axis=1))


def _noise(plan: Plan, column: MemoryKey, here: Array) -> Array:
    """A random vector as long as the concept's own state, by the manifest's seed and the concept's name alone."""
    told = sha256(f"{plan.manifest.seed} {column.name}".encode("utf-8", "surrogatepass")).digest()
    drawn = np.random.default_rng(np.frombuffer(told, np.uint32)).standard_normal(len(here))
    return np.asarray(drawn * np.linalg.norm(here) / np.linalg.norm(drawn))


def _learn_value(
    plan: Plan,
    column: MemoryKey,
    alike: Sequence[MemoryKey],
    edit: Fact | Redirect,
    answer: str,
    at: tuple[Network, int, DeltaTarget],
    cache: Cache | None,
) -> MemoryKey:
    network, layer, where = at
    spots = tuple(spot for one in alike for spot in one.contexts)
    wish, how = ValueGoal(spots, answer, sentences.essence(column.name)), Descent()
    key = cache_key(LAYOUT, network.fingerprint(), str(wish), str(layer), where, str(how))
    try:
        value = _read_cache(cache, key) or network.value(wish, layer, where, how)
    except (LookupError, ValueError) as error:
        raise EditcError(Diagnostic("E336", str(error), edit.at("answer"), plan.manifest.source)) from error
    if cache is not None:
        parts = {"delta": value.delta, "before": value.before, "losses": np.array(value.losses)}
        cache.put(key, {**parts, "probability": np.array([value.probability])})
    return replace(column, wanted=value.delta, value=value)


def _read_cache(cache: Cache | None, key: str) -> LearnedValue | None:
    found = None if cache is None else cache.get(key)
    if found is None:
        return None
    losses = tuple(float(one) for one in found["losses"])
    return LearnedValue(found["delta"], found["before"], losses, float(found["probability"][0]))
