"""Where the keys of an edit are read, by the rule of its method (`passes.methods.ReadingRule`). Each group of positions
gives one key, the mean over them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from editc.core.language_edits import Fact, LanguageEdit, Redirect
from editc.core.language_problem import EarlierEdits
from editc.core.manifest import Manifest
from editc.core.prompts import Cloze, Spot
from editc.passes.language import sentences
from editc.passes.language.sentences import NameInSentences
from editc.passes.methods import ReadingRule, ReadsElsewhere
from editc.registry.methods import METHODS

Group: TypeAlias = tuple[NameInSentences, tuple[Spot, ...]]
"""A name with its sentences, and the positions that give one key."""


def reading_rule(method: str) -> ReadingRule:
    """The rule of a method: that of its class, or `name`."""
    found: Any = METHODS.resolve(method)
    return found.reads if isinstance(found, ReadsElsewhere) else "name"


def key_groups(
    rule: ReadingRule, edit: Fact | Redirect, manifest: Manifest, name: str | None = None
) -> Iterator[Group]:
    """The positions of every key of an edit. `name`: read them at this name in place of the edit's first one, and at no
    other."""
    every = sentences.edit_sentences(edit, manifest)
    if isinstance(edit, Redirect) and rule != "name":
        every = sentences.whole_sentences(edit, manifest)
    for one in every:
        if name is None or one.name == edit.names[0]:
            for spots in GROUPS[rule](one, one.name if name is None else name):
                yield one, spots


def held_keys(edit: LanguageEdit, method: str, manifest: Manifest) -> tuple[tuple[Spot, ...], ...]:
    """The groups of positions at which later edits must leave the outputs of an edit. An ablation has none, nor has
    what is forgotten by training."""
    if not isinstance(edit, Fact | Redirect):
        return ()
    return tuple(spots for _, spots in key_groups(reading_rule(method), edit, manifest))


def earlier_edits(manifest: Manifest) -> EarlierEdits:
    """What the edits of a manifest that was built ask of later ones: the outputs at their keys stay."""
    keys: list[tuple[Spot, ...]] = []
    for edits, usual in ((manifest.facts, "rome"), (manifest.redirects, "rocr")):
        method = next((edit.method for edit in edits if edit.method is not None), usual)
        keys += [spots for edit in edits for spots in held_keys(edit, method, manifest)]
    asked = tuple(one for fact in manifest.facts for one in sentences.answer_clozes(fact, manifest))
    return EarlierEdits(tuple(keys), asked)


def written_where_carried(record: Mapping[str, Any]) -> bool:
    """True for the record of an edit with `tokens: carrying`, whose keys its manifest does not say."""
    options = record.get("options")
    return isinstance(options, Mapping) and options.get("tokens") == "carrying"


def record_key(spots: Sequence[Spot]) -> Mapping[str, Any]:
    """One key as JSON: the texts up to its positions, what they end with, and whether a user says them. Nothing behind
    a position changes what a causal model reads there."""
    first = spots[0]
    return {"at": first.subject, "chat": first.chat, "texts": [spot.causal_prefix[0] for spot in spots]}


def recorded_edits(edits: Iterable[Mapping[str, Any]]) -> EarlierEdits | None:
    """What recorded edits ask of later ones, from their records alone. None if one of them records no keys, as those
    of older deltas, or if a record is malformed."""
    keys, asked = list[tuple[Spot, ...]](), list[Cloze]()
    for edit in edits:
        try:
            keys += [tuple(_recorded_spot(key, text) for text in key["texts"]) for key in edit["holds"]]
        except (KeyError, TypeError, AttributeError):
            return None
        if edit.get("kind") == "fact":
            asked.append(Cloze(str(edit.get("prompt")), str(edit.get("answer"))))
    return EarlierEdits(tuple(keys), tuple(asked))


def _recorded_spot(key: Mapping[str, Any], text: str) -> Spot:
    """The position at the end of a recorded text."""
    at = str(key["at"])
    return Spot(text, at, bool(key["chat"]), text.removesuffix(at)) if at else Spot(text, "", bool(key["chat"]))


def _at_name(one: NameInSentences, name: str) -> Iterator[tuple[Spot, ...]]:
    """One group: the name's last token in every sentence."""
    yield one.spots_of(name)


def _at_end(one: NameInSentences, name: str) -> Iterator[tuple[Spot, ...]]:
    """A group for each sentence: its last token. In a chat that is the last token before the answer."""
    for text in one.templates:
        yield (Spot(sentences.fill(text, name), "", one.form == "chat"),)


def _at_words(one: NameInSentences, name: str) -> Iterator[tuple[Spot, ...]]:
    """A group for each word of each sentence from the name on: the word's last token."""
    for text in one.templates:
        before, filled = text.partition("{}")[0], sentences.fill(text, name)
        for word in re.finditer(r"\S+", filled[len(before) :]):
            yield (Spot(filled, filled[len(before) :][: word.end()], one.form == "chat", before),)


GROUPS: Mapping[ReadingRule, Callable[[NameInSentences, str], Iterator[tuple[Spot, ...]]]] = {
    "name": _at_name,
    "end": _at_end,
    "words": _at_words,
}
"""Rule -> the groups of positions that it gives for a name in its sentences."""
