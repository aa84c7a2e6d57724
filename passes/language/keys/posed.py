"""Which keys a manifest asks for: every subject in its contexts, and where the model is to say what it said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.language_problem import LanguageProblem, MemoryKey
from editc.core.manifest import Fact, Redirect
from editc.core.network import Network, Spot, TokenPosition
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.passes.language import sentences
from editc.passes.language.keys import spared
from editc.passes.language.locate.stages import works_on


def pose_problem(plan: Plan, ctx: Context) -> LanguageProblem:
    """The problem without what is learned: which contexts each subject has. For a delta that is measured again."""
    network, manifest = ctx.network, plan.manifest
    assert network is not None
    found: list[MemoryKey] = []
    for stage in plan.stages:
        for index in stage.edits if works_on(stage) == "memory" else ():
            found += _columns(plan, index, manifest.language_edits[index], network)
    found.sort(key=lambda one: one.edit)
    earlier, overwritten = _earlier(found, ctx.earlier)
    held = tuple((spot,) for spot in _off_sink(earlier, network))
    kept = {index: (*_preserved_groups(plan, index, network), *held) for index in {one.edit: 0 for one in found}}
    sparing = [
        index for stage in plan.stages if stage.method in spared.METHODS for index in stage.edits if index in kept
    ]
    around = {index: tuple(spared.groups(plan.manifest, index, network)) for index in sparing}
    mark = network.fingerprint()
    return LanguageProblem(plan, {}, mark, "", columns=tuple(found), kept=kept, spared=around, overwritten=overwritten)


def _columns(plan: Plan, index: int, edit: Any, network: Network) -> Iterator[MemoryKey]:
    manifest = plan.manifest
    for one in sentences.edit_sentences(edit, manifest):
        places = _places(one, network, plan, edit)
        off = replace(one, templates=tuple(text for text, some in places if not any(place.sink for place in some)))
        if not off.templates:
            told = f"`{one.name}`" if all(some[0].sink for _, some in places) else f"`{one.name}` or `{one.to}`"
            message = f"{told} is at the very beginning of every context, which the model reads as no word"
            help_ = "give `contexts` with some words before the `{}`"
            raise EditcError(Diagnostic("E333", message, edit.at("contexts"), manifest.source, help=help_))
        sinks = len(places) - len(off.templates)
        yield MemoryKey(index, one.name, one.form, off.contexts, np.zeros(0), off.anchor, None, sinks)


def _places(
    one: sentences.NameInSentences, network: Network, plan: Plan, edit: Any
) -> list[tuple[str, tuple[TokenPosition, ...]]]:
    """Each sentence, and where the name is in it, and the target if there is one."""
    try:
        found = [network.places(spots) for spots in (one.contexts, one.anchor) if spots]
    except LookupError as error:
        chat = one.form == "chat" and "template" in str(error)
        code, span = ("E332", plan.manifest.at("chat")) if chat else ("E334", edit.at())
        help_ = "leave `chat` out" if chat else "write the subject as it stands in the sentence"
        raise EditcError(Diagnostic(code, str(error), span, plan.manifest.source, help=help_)) from error
    return list(zip(one.templates, zip(*found, strict=True), strict=True))


def _preserved_groups(plan: Plan, index: int, network: Network) -> Iterator[tuple[Spot, ...]]:
    """What is held for an edit, in groups whose mean is one key.

    A fact's own key is the mean over its contexts, and what another name has in common with it is in that name's mean
    over the same ones: one key a name and form. Seven near-copies would count as seven times all of ordinary text. A
    redirection meets its name in sentences that differ, and in each the target and other names are held as they are.
    E345 for a preserved name that is at position 0 in all of them."""
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
            message = f"`{one.name}` cannot be held: it is at the very beginning of every context of `{edit.names[0]}`"
            help_ = "give `contexts` with some words before the `{}`"
            raise EditcError(Diagnostic("E345", message, span, manifest.source, help=help_))
        yield from (spots,) if isinstance(edit, Fact) else ((spot,) for spot in spots)


def _earlier(
    columns: Sequence[MemoryKey], earlier: Mapping[str, Sequence[Spot]]
) -> tuple[list[Spot], Mapping[int, tuple[str, ...]]]:
    """Where earlier deltas wrote and no column has its key, and by edit the deltas that wrote at its own keys. A key
    depends on the text up to the subject's end alone: one that is to change cannot be held too."""
    own: dict[int, set[tuple[str, bool]]] = {}
    for one in columns:
        own.setdefault(one.edit, set()).update(spot.told for spot in one.contexts)
    wrote = {delta: {spot.told for spot in spots} for delta, spots in earlier.items()}
    overwritten = {
        edit: tuple(delta for delta, theirs in wrote.items() if theirs & keys)
        for edit, keys in own.items()
        if any(theirs & keys for theirs in wrote.values())
    }
    taken = set[tuple[str, bool]]().union(*own.values())
    return [spot for spots in earlier.values() for spot in spots if spot.told not in taken], overwritten


def _off_sink(spots: Sequence[Spot], network: Network) -> tuple[Spot, ...]:
    return tuple(spot for spot, place in zip(spots, network.places(spots), strict=True) if not place.sink)
