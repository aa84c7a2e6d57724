"""Find the positions at which a manifest's edits read their keys, and the positions at which outputs must stay. No
value is learned here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.language_edits import Fact, Redirect
from editc.core.language_problem import EarlierEdits, LanguageProblem, MemoryKey
from editc.core.network import Network
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.prompts import Spot, TokenPosition
from editc.passes.language import sentences
from editc.passes.language.keys import default_names
from editc.passes.language.keys.carrying import carrying_parts, spots_at
from editc.passes.language.keys.key_spots import key_groups, reading_rule
from editc.passes.language.locate.stages import stage_option, works_on
from editc.passes.methods import HoldsMeans
from editc.passes.sites import layer_of
from editc.registry.methods import METHODS


def build_problem(plan: Plan, ctx: Context) -> LanguageProblem:
    """The problem of a plan with all its positions, but without values, moments and scores. Derive fills these; a delta
    that is only measured again needs none of them.

    Raises E332, E333, E334, E345 as `DeriveLanguage`.
    """
    network, manifest = ctx.network, plan.manifest
    assert network is not None
    found: list[MemoryKey] = []
    for stage in plan.stages:
        for index in stage.edits if works_on(stage) == "memory" else ():
            found += _memory_keys(plan, index, manifest.language_edits[index], network)
    found.sort(key=lambda one: one.edit)
    earlier, overwritten = _earlier_groups(found, ctx.earlier)
    written = [off for group in earlier if (off := _off_sink(group, network))]
    preserved = {
        index: (*_preserved_groups(plan, index, network), *_held_groups(plan, index, written))
        for index in {one.edit: 0 for one in found}
    }
    with_defaults = [
        index
        for stage in plan.stages
        if stage.method in default_names.METHODS_WITH_DEFAULTS
        for index in stage.edits
        if index in preserved
    ]
    defaults = {index: tuple(default_names.default_groups(plan.manifest, index, network)) for index in with_defaults}
    mark = network.fingerprint()
    return LanguageProblem(
        plan,
        {},
        mark,
        "",
        memory_keys=tuple(found),
        preserved=preserved,
        preserved_by_default=defaults,
        overwritten=overwritten,
    )


def _memory_keys(plan: Plan, index: int, edit: Any, network: Network) -> Iterator[MemoryKey]:
    """The memory keys of an edit, by the reading rule of its method."""
    rule = reading_rule(next(stage.method for stage in plan.stages if index in stage.edits))
    yield from (_keys_at_names if rule == "name" else _keys_in_sentences)(plan, index, edit, network)


def _keys_at_names(plan: Plan, index: int, edit: Any, network: Network) -> Iterator[MemoryKey]:
    """One memory key for each name and form of an edit, without the contexts that have the name or its target in the
    attention sink. Raises E333 if no context is left."""
    manifest = plan.manifest
    parts = _parts_to_edit(plan, index, edit, network)
    for one in sentences.edit_sentences(edit, manifest):
        places = _places_by_template(one, network, plan, edit)
        off = replace(one, templates=tuple(text for text, some in places if not any(place.sink for place in some)))
        if not off.templates:
            which = f"`{one.name}`" if all(some[0].sink for _, some in places) else f"`{one.name}` or `{one.to}`"
            raise _only_in_sink(which, plan, edit)
        sinks = len(places) - len(off.templates)
        if parts == (one.name,) or not isinstance(edit, Fact):
            yield MemoryKey(index, one.name, one.form, off.contexts, np.zeros(0), off.anchor, None, sinks)
        else:
            yield from _keys_at_parts(index, one, parts, network)


def _parts_to_edit(plan: Plan, index: int, edit: Any, network: Network) -> tuple[str, ...]:
    """The beginnings of an edit's name at whose last tokens it is written: the name itself, unless the options of its
    stage say `tokens: carrying`."""
    stage = next(stage for stage in plan.stages if index in stage.edits)
    if stage_option(plan, stage, "tokens") != "carrying" or not isinstance(edit, Fact):
        return (str(edit.names[0]),)
    layer = max(layer_of(plan.sites[i].name) for i in stage.sites)
    return carrying_parts(edit, plan.manifest, network, layer)


def _keys_at_parts(
    index: int, one: sentences.NameInSentences, parts: Sequence[str], network: Network
) -> Iterator[MemoryKey]:
    """One memory key for each part of a subject, without the contexts that have it in the attention sink. A part that
    is there in every context is left out, unless it is the only one."""
    for part in parts:
        spots = spots_at(one, part)
        off = _off_sink(spots, network)
        if off:
            yield MemoryKey(index, part, one.form, off, np.zeros(0), sinks=len(spots) - len(off))


def _keys_in_sentences(plan: Plan, index: int, edit: Any, network: Network) -> Iterator[MemoryKey]:
    """One memory key for each position that the method's rule names in the sentences of an edit, without those in the
    attention sink. Raises E333 if none is left."""
    rule = reading_rule(next(stage.method for stage in plan.stages if index in stage.edits))
    found = 0
    for one, spots in key_groups(rule, edit, plan.manifest):
        if off := _off_sink(spots, network):
            found += 1
            yield MemoryKey(index, one.name, one.form, off, np.zeros(0))
    if not found:
        raise _only_in_sink(f"`{edit.names[0]}`", plan, edit)


def _only_in_sink(which: str, plan: Plan, edit: Any) -> EditcError:
    """E333: a name stands at position 0 in every context."""
    message = f"{which} begins every context, and an edit does not act on the first position of a text"
    help_ = "give `contexts` with some words before the `{}`"
    return EditcError(Diagnostic("E333", message, edit.at("contexts"), plan.manifest.source, help=help_))


def _places_by_template(
    one: sentences.NameInSentences, network: Network, plan: Plan, edit: Any
) -> list[tuple[str, tuple[TokenPosition, ...]]]:
    """Each sentence with the place of the name in it, and then that of the target if there is one.

    Raises E332 if the model has no chat template, E334 if a sentence does not contain the name.
    """
    try:
        found = [network.positions(spots) for spots in (one.contexts, one.anchor) if spots]
    except LookupError as error:
        chat = one.form == "chat" and "template" in str(error)
        code, span = ("E332", plan.manifest.at("chat")) if chat else ("E334", edit.at())
        help_ = "leave `chat` out" if chat else "write the subject as it stands in the sentence"
        raise EditcError(Diagnostic(code, str(error), span, plan.manifest.source, help=help_)) from error
    return list(zip(one.templates, zip(*found, strict=True), strict=True))


def _preserved_groups(plan: Plan, index: int, network: Network) -> Iterator[tuple[Spot, ...]]:
    """The positions whose outputs an edit preserves: its target and the names under `preserve`. Each group gives one
    key, the mean over its positions.

    A fact has one group for each preserved name and form, because the fact's own key is the mean over the same
    contexts. One key for each of its seven similar contexts would weigh seven times all of ordinary text. The contexts
    of a redirection differ, so each of them is a group of its own.

    Raises E334 if a sentence does not contain the name, E345 if the name is at position 0 in all of them.
    """
    manifest = plan.manifest
    edit, names = manifest.language_edits[index], manifest.preserve.concepts
    assert isinstance(edit, (Fact, Redirect))
    for one in sentences.preserved_sentences(edit, manifest):
        span = manifest.preserve.at(f"concepts.{names.index(one.name)}" if one.name in names else "concepts")
        try:
            spots = _off_sink(one.contexts, network)
        except LookupError as error:
            raise EditcError(Diagnostic("E334", str(error), span, manifest.source)) from error
        if not spots:
            message = f"`{one.name}` cannot be preserved: it begins every context of `{edit.names[0]}`"
            help_ = "give `contexts` with some words before the `{}`"
            raise EditcError(Diagnostic("E345", message, span, manifest.source, help=help_))
        yield from (spots,) if isinstance(edit, Fact) else ((spot,) for spot in spots)


def _earlier_groups(
    memory_keys: Sequence[MemoryKey], earlier: Mapping[str, EarlierEdits]
) -> tuple[list[tuple[Spot, ...]], Mapping[int, tuple[str, ...]]]:
    """The groups of positions that earlier deltas edited and that are preserved, and edit -> ids of the deltas that
    edited the same keys as it does. A key that an edit changes cannot be preserved too. Two keys are the same if they
    share a position, and two positions are the same if the text up to the subject's end is.

    `earlier`: delta id -> what it asks of later edits.
    """
    own: dict[int, set[tuple[str, bool]]] = {}
    for one in memory_keys:
        own.setdefault(one.edit, set()).update(spot.causal_prefix for spot in one.contexts)
    wrote = {delta: {spot.causal_prefix for group in one.keys for spot in group} for delta, one in earlier.items()}
    overwritten = {
        edit: tuple(delta for delta, theirs in wrote.items() if theirs & keys)
        for edit, keys in own.items()
        if any(theirs & keys for theirs in wrote.values())
    }
    taken = set[tuple[str, bool]]().union(*own.values())
    groups = [group for one in earlier.values() for group in one.keys]
    return [group for group in groups if all(spot.causal_prefix not in taken for spot in group)], overwritten


def _held_groups(plan: Plan, index: int, written: Sequence[tuple[Spot, ...]]) -> Sequence[tuple[Spot, ...]]:
    """What an edit holds of the groups that earlier deltas wrote: the mean of each, or each of its positions. To hold
    every context moves a single sentence less; to hold the mean is what a joint solve would do."""
    method: Any = METHODS.resolve(next(stage.method for stage in plan.stages if index in stage.edits))
    if isinstance(method, HoldsMeans) and method.holds_means:
        return written
    return [(spot,) for group in written for spot in group]


def _off_sink(spots: Sequence[Spot], network: Network) -> tuple[Spot, ...]:
    """The positions that are not in the attention sink."""
    return tuple(spot for spot, place in zip(spots, network.positions(spots), strict=True) if not place.sink)
