"""Find the value to add at a key: learned by gradient for an answer, taken from another concept, or random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.language_edits import Fact, Redirect
from editc.core.language_problem import KeyStates, MemoryKey
from editc.core.network import DeltaTarget, Descent, LearnedValue, Network, ValueGoal
from editc.core.plan import Plan, Stage
from editc.core.ports import Cache
from editc.core.prompts import Spot
from editc.core.storage.caching import cache_key
from editc.passes.language import sentences
from editc.passes.language.keys.key_spots import key_groups, reading_rule
from editc.passes.language.locate.stages import is_single, stage_option
from editc.passes.methods import MakesValues
from editc.passes.sites import layer_of

REFUSAL = "I'm sorry, but I do not know anything about that."
"""The answer that is learned for `toward: refusal`."""
LAYOUT = "value 2"
"""Part of each cache key: change it whenever the computation changes."""


def find_value(
    plan: Plan,
    stage: Stage,
    memory_key: MemoryKey,
    same_name: Sequence[MemoryKey],
    network: Network,
    cache: Cache | None,
) -> MemoryKey:
    """The memory key with `residual` filled, for the stage's last layer. Raises E336 if no value could be learned.

    `same_name`: all memory keys of this edit and name. A value is learned on the contexts of all of them together.

    A value is learned at the output of the layer's MLP, as in ROME, for MEMIT and its followers too. What is added
    there also reaches the residual stream, and a length bounded by the output's own harms less than one bounded by the
    stream's (docs/measurements/facts.md). If a norm lies between MLP and stream, it is learned in the stream.
    """
    edit = plan.manifest.language_edits[memory_key.edit]
    layer = layer_of(plan.sites[stage.sites[-1]].name)
    where: DeltaTarget = "stream" if plan.family.normed and not is_single(stage.method) else "output"
    if isinstance(edit, Fact):
        found = _learn_value(plan, memory_key, same_name, edit, edit.answer, (network, layer, where), cache)
        return _anchored(found) if stage_option(plan, stage, "nas") else found
    assert isinstance(edit, Redirect)
    if edit.to is None and edit.toward == "refusal":
        return _learn_value(plan, memory_key, same_name, edit, REFUSAL, (network, layer, where), cache)
    here = network.states([layer], memory_key.contexts)[layer].mean(axis=1)
    there = _draw_noise(plan, memory_key, here) if edit.to is None else _target_state(network, layer, memory_key)
    return replace(memory_key, residual=there - here)


def with_made_values(
    plan: Plan, stage: Stage, method: MakesValues, memory_keys: Sequence[MemoryKey], network: Network
) -> Iterator[MemoryKey]:
    """The memory keys of one concept with the values that its method makes from the stream behind the stage's last
    layer."""
    edit = plan.manifest.language_edits[memory_keys[0].edit]
    assert isinstance(edit, Redirect)
    layer, rule = layer_of(plan.sites[stage.sites[-1]].name), reading_rule(stage.method)
    groups = [spots for name in sentences.INVENTED_NAMES for _, spots in key_groups(rule, edit, plan.manifest, name)]
    own, unknown = (_mean_states(network, layer, some) for some in ([one.contexts for one in memory_keys], groups))
    for one, here in zip(memory_keys, own.T, strict=True):
        yield replace(one, residual=method.value(KeyStates(here, own, unknown, plan.manifest.seed)))


def _mean_states(network: Network, layer: int, groups: Sequence[Sequence[Spot]]) -> Array:
    """The residual stream (d, groups) after a layer, the mean over each group of positions without those in the
    attention sink. A group that has no other is left out."""
    spots = [spot for one in groups for spot in one]
    sinks = iter([place.sink for place in network.positions(spots)])
    off = [[spot for spot in one if not next(sinks)] for one in groups]
    kept = [one for one in off if one]
    return group_means(network.states([layer], [spot for one in kept for spot in one])[layer], kept)


def group_means(found: Array, groups: Sequence[Sequence[Spot]]) -> Array:
    """The mean of each group's columns: (d, all spots) -> (d, groups), with the spots in the order of the groups."""
    ends = np.cumsum([len(one) for one in groups])
    return np.stack([part.mean(axis=1) for part in np.split(found, ends[:-1], axis=1)], axis=1)


def anchor_norm(before: Array, delta: Array) -> Array:
    """The change (d,) from `before` (d,) to `before + delta` scaled to the length of `before`, which is Norm-Anchor
    Scaling. The delta itself where `before + delta` has no length."""
    value = before + delta
    length = float(np.linalg.norm(value))
    return value * (float(np.linalg.norm(before)) / length) - before if length > 0 else delta


def _anchored(memory_key: MemoryKey) -> MemoryKey:
    """The memory key with its learned value scaled to the length of the output before the edit."""
    assert memory_key.value is not None
    return replace(memory_key, residual=anchor_norm(memory_key.value.before, memory_key.residual))


def _target_state(network: Network, layer: int, memory_key: MemoryKey) -> Array:
    """The residual stream (d,) at the target after a layer, the mean over contexts."""
    return np.asarray(network.states([layer], memory_key.anchor)[layer].mean(axis=1))


def _draw_noise(plan: Plan, memory_key: MemoryKey, here: Array) -> Array:
    """A random vector (d,) as long as the concept's own state `here` (d,). It depends only on the manifest's seed and
    the concept's name."""
    digest = sha256(f"{plan.manifest.seed} {memory_key.name}".encode("utf-8", "surrogatepass")).digest()
    drawn = np.random.default_rng(np.frombuffer(digest, np.uint32)).standard_normal(len(here))
    return np.asarray(drawn * np.linalg.norm(here) / np.linalg.norm(drawn))


def _learn_value(
    plan: Plan,
    memory_key: MemoryKey,
    same_name: Sequence[MemoryKey],
    edit: Fact | Redirect,
    answer: str,
    at: tuple[Network, int, DeltaTarget],
    cache: Cache | None,
) -> MemoryKey:
    """The memory key with a value learned for `answer`, or read from the cache. Raises E336 if it cannot be learned.

    `at`: the model, the layer, and whether the value is added to the MLP's output or to the residual stream.
    """
    network, layer, where = at
    spots = tuple(spot for one in same_name for spot in one.contexts)
    wish, how = ValueGoal(spots, answer, sentences.essence_spot(memory_key.name)), Descent()
    key = cache_key(LAYOUT, network.fingerprint(), str(wish), str(layer), where, str(how))
    try:
        value = _read_cache(cache, key) or network.learn_value(wish, layer, where, how)
    except (LookupError, ValueError) as error:
        raise EditcError(Diagnostic("E336", str(error), edit.at("answer"), plan.manifest.source)) from error
    if cache is not None:
        parts = {"delta": value.delta, "before": value.before, "losses": np.array(value.losses)}
        cache.put(key, {**parts, "probability": np.array([value.probability])}, "learned values")
    return replace(memory_key, residual=value.delta, value=value)


def _read_cache(cache: Cache | None, key: str) -> LearnedValue | None:
    """The cached value, or None."""
    found = None if cache is None else cache.get(key, ["delta", "before", "losses", "probability"])
    if found is None:
        return None
    losses = tuple(float(one) for one in found["losses"])
    return LearnedValue(found["delta"], found["before"], losses, float(found["probability"][0]))
