"""Questions that an edit of a language model is to leave alone, though nobody named them: made from the names and the
sentences that ship with editc, and from the manifest's own names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import chain, islice, zip_longest
from typing import TypeVar

from editc.core.edited import EditedPrompts
from editc.core.manifest import Ablation, Fact, Manifest, PromptAnswer, Redirect
from editc.core.text import fold_name
from editc.passes.language import known

T = TypeVar("T")
LAST = "same last word"
RELATION = "same relation"
FACTS = "other fact of the subject"
TONGUE = "another language"
START = "name at the start"
TARGET = "the target itself"
FAR = "something else"
LOOP = "goes round in circles"
OWN = (FACTS, TONGUE, START, LOOP)
"""Kinds of questions about the edited subject itself."""
SHARES = {LAST: 28, RELATION: 28, FACTS: 16, TONGUE: 8, START: 6, TARGET: 10, LOOP: 8}
"""Of each kind so many questions at most are put to the unedited model, to see what it knows."""
WHOLE = 96
"""Questions about one edit that are put to it in all: what the other kinds leave goes to something else altogether."""
WIDE = ("country", "city", "landmark", "company", "animal", "writer", "planet", "element")
"""Kinds of which much is known, for questions about something else altogether."""


@dataclass(frozen=True)
class Candidate:
    """A question that may serve as a bystander of an edit."""

    edit: int
    """The number of the edit in the manifest, from 0."""
    kind: str
    """Why the question was chosen, such as LAST: its name ends with the same word."""
    prompt: str
    """The text that the model goes on from."""
    loops: bool = False
    """True if only going round in circles is looked for, because the answer may well follow the edit."""


@dataclass(frozen=True)
class Around:
    """Names and questions near the edits of a manifest, from the lists that come with editc."""

    manifest: Manifest
    """The manifest with the edits."""
    seed: int = 0
    """Decides which names are measured. The others may be preserved by the edit, so that no name is both."""
    others: tuple[str, ...] = ()
    """Names that other deltas in the same model edit."""

    @cached_property
    def edited(self) -> frozenset[str]:
        """Every edited name, in the form in which two names are compared."""
        own = (name for edit in self.manifest.language_edits for name in edit.names)
        return frozenset(fold_name(known.without_article(name)) for name in (*own, *self.others))

    @cached_property
    def own(self) -> EditedPrompts:
        """What the manifest edits, to tell whether a prompt holds it."""
        return EditedPrompts(self.manifest)

    def names(self, kind: str, measured: bool = True) -> tuple[str, ...]:
        """The listed names of a kind that nobody edits, of one of the two halves."""
        return self._halves[measured].get(kind, ())

    @cached_property
    def _halves(self) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[str, ...]]]:
        """By kind the names that are not asked about and may be preserved, and those that are asked about."""
        found: tuple[dict[str, list[str]], ...] = ({}, {})
        for kind, every in known.names().items():
            for name in every:
                plain = fold_name(known.without_article(name))
                if plain not in self.edited:
                    digest = sha256(f"{self.seed} {plain}".encode("utf-8", "surrogatepass")).digest()
                    found[digest[0] % 2 == 0].setdefault(kind, []).append(name)
        kept, asked = ({kind: tuple(some) for kind, some in half.items()} for half in found)
        return kept, asked

    def alike(self, name: str, measured: bool = True) -> tuple[str, ...]:
        """Listed names of any kind that end with the same word."""
        last = fold_name(name).split()[-1:]
        every = chain.from_iterable(self.names(kind, measured) for kind in known.names())
        return tuple(dict.fromkeys(one for one in every if fold_name(one).split()[-1:] == last))

    def touches(self, text: str) -> bool:
        """True for a text in which an edited name or prompt stands."""
        plain = f" {fold_name(text)} "
        return self.own.holds(text) or any(name in plain for name in self.edited)


def candidates(around: Around, index: int) -> tuple[Candidate, ...]:
    """The questions of one edit, each prompt once, at most SHARES of each kind and WHOLE in all."""
    edit = around.manifest.language_edits[index]
    if isinstance(edit, Fact):
        made: dict[str, Iterator[tuple[str, bool]]] = {
            LAST: _ask_relation(around, around.alike(edit.subject), edit.template),
            RELATION: _ask_relation(around, around.names(known.kind_of(edit.subject)), edit.template),
            FACTS: _other_facts(edit),
            TONGUE: _in_other_languages(edit),
            START: _bare_starts(edit),
            LOOP: _fact_continuations(edit),
        }
    elif isinstance(edit, Redirect):
        made = {
            LAST: _ask_relations(around, around.alike(edit.concept), edit.relations),
            RELATION: _ask_relations(around, around.names(known.kind_of(edit.concept)), edit.relations),
            TARGET: _target_questions(edit),
            LOOP: _concept_continuations(edit),
        }
    else:
        made = {LOOP: _text_continuations(edit)}
    found = [
        one
        for kind, prompts in made.items()
        for one in islice(_without_edits(around, index, kind, prompts), SHARES[kind])
    ]
    far = islice(_without_edits(around, index, FAR, _distant_questions(around, edit)), WHOLE)
    every = dict[str, Candidate]()
    for one in chain(found, far):
        every.setdefault(fold_name(one.prompt), one)
    return tuple(every.values())[:WHOLE]


def _without_edits(around: Around, index: int, kind: str, prompts: Iterator[tuple[str, bool]]) -> Iterator[Candidate]:
    """Those that are no edited prompt, and of questions about something else those that name nothing edited."""
    own = kind in OWN
    for text, loops in prompts:
        if loops or not (around.own.holds(text) if own else around.touches(text)):
            yield Candidate(index, kind, text, loops)


def _ask_relation(around: Around, names: Sequence[str], template: str) -> Iterator[tuple[str, bool]]:
    """The edited relation of other names, and by turns something else about each."""
    yield from ((known.insert_name(template, name), False) for name in names)
    yield from ((text, False) for text in _other_questions(names))


def _ask_relations(
    around: Around, names: Sequence[str], relations: Sequence[PromptAnswer]
) -> Iterator[tuple[str, bool]]:
    """The relations of a concept, of other names, and by turns something else about each."""
    asked = [[known.insert_name(one.prompt, name) for name in names] for one in relations]
    yield from ((text, False) for text in _by_turns([*asked, list(_other_questions(names))]))


def _other_questions(names: Sequence[str]) -> Iterator[str]:
    """Of each name the questions of its kind: the first of the first name, the second of the second, and so on, then
    another round."""
    asked = [known.questions().get(known.kind_of(name), ()) for name in names]
    for turn in range(max(map(len, asked), default=0)):
        for i, (name, those) in enumerate(zip(names, asked, strict=True)):
            if those and turn < len(those):
                yield known.insert_name(those[(i + turn) % len(those)].template, name)


def _other_facts(edit: Fact) -> Iterator[tuple[str, bool]]:
    yield from (
        (known.insert_name(one.template, subject_with_article(edit)), False) for one in independent_questions(edit)
    )


def independent_questions(edit: Fact) -> Iterator[known.Ask]:
    """What is asked of the subject's kind, of topics that do not follow from the edited one."""
    bound = known.implied_topics(known.topics_of(edit.template))
    kind = known.kind_of(edit.subject)
    yield from (one for one in known.questions().get(kind, ()) if one.topic not in bound)


def _in_other_languages(edit: Fact) -> Iterator[tuple[str, bool]]:
    """The subject in other languages: of the edited topic, and of those that follow, only how it goes on."""
    bound = known.implied_topics(known.topics_of(edit.template))
    kind, mine = known.kind_of(edit.subject), fold_name(edit.subject)
    own = [ask for about, ask in known.foreign_sentences() if fold_name(about) == mine]
    frames = [ask for about, ask in known.foreign_sentences() if "{}" in ask.template and kind in about.split()]
    for ask in (*own, *frames):
        yield known.insert_name(ask.template, edit.subject), ask.topic in bound


def _bare_starts(edit: Fact) -> Iterator[tuple[str, bool]]:
    """The bare subject at the start of a text, where other models than those with a BOS token have it in the attention
    sink."""
    for one in independent_questions(edit):
        if one.template.startswith("{}"):
            yield one.template.replace("{}", edit.subject), False
    yield f"{edit.subject} is", True


def _fact_continuations(edit: Fact) -> Iterator[tuple[str, bool]]:
    name = subject_with_article(edit)
    yield edit.prompt, True
    for template in ("{} is", "I have read about {} and", "A short text about {}:"):
        yield known.insert_name(template, name), True
    yield from ((prompt, True) for prompt in edit.paraphrases)


def _concept_continuations(edit: Redirect) -> Iterator[tuple[str, bool]]:
    for template in (*(one.prompt for one in edit.relations), "{} is", "I have read about {} and", "{} was"):
        yield known.insert_name(template, edit.concept), True


def _text_continuations(edit: Ablation) -> Iterator[tuple[str, bool]]:
    """The first half of each text without the direction."""
    for text in edit.absent:
        words = text.split()
        if len(words) > 3:
            yield " ".join(words[: len(words) // 2]), True


def _target_questions(edit: Redirect) -> Iterator[tuple[str, bool]]:
    if edit.to is not None:
        yield from ((known.insert_name(one.prompt, edit.to), False) for one in edit.relations)
        asked = known.questions().get(known.kind_of(edit.to), ())
        yield from ((known.insert_name(one.template, edit.to), False) for one in asked)


def _distant_questions(around: Around, edit: Fact | Redirect | Ablation) -> Iterator[tuple[str, bool]]:
    """Names of other kinds than the edited one, by turns."""
    own = known.kind_of(edit.names[0])
    asked = [list(_other_questions(around.names(kind))) for kind in WIDE if kind != own]
    yield from ((text, False) for text in _by_turns(asked))


def subject_with_article(edit: Fact) -> str:
    """The subject with its article, if the prompt has one before it."""
    before = edit.template.partition("{}")[0]
    return f"{known.ARTICLE}{edit.subject}" if before.casefold().endswith(known.ARTICLE) else edit.subject


def _by_turns(lists: Sequence[Sequence[T]]) -> Iterator[T]:
    for some in zip_longest(*lists):
        yield from (one for one in some if one is not None)
