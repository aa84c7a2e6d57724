"""Make candidate bystander questions for the edits of a language model: questions that nobody named in the manifest
and whose answers the edit must not change. They are made from the names and sentences that ship with editc, and from
the manifest's own names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import chain, islice, zip_longest
from typing import TypeVar

from editc.core.edited import EditedPrompts
from editc.core.language_edits import Ablation, Fact, LanguageEdit, PromptAnswer, Redirect
from editc.core.manifest import Manifest
from editc.core.text import fold_name
from editc.passes.language import well_known

T = TypeVar("T")

# Kinds of questions, in the words of the report.
SAME_LAST_WORD = "same last word"
SAME_RELATION = "same relation"
OTHER_FACT = "other fact of the subject"
OTHER_LANGUAGE = "another language"
NAME_AT_START = "name at the start"
ABOUT_TARGET = "the target itself"
UNRELATED = "something else"
LOOPS = "goes round in circles"
KINDS_ABOUT_SUBJECT = (OTHER_FACT, OTHER_LANGUAGE, NAME_AT_START, LOOPS)
"""The kinds of questions that are about the edited subject itself."""
MOST_OF_KIND = {
    SAME_LAST_WORD: 28,
    SAME_RELATION: 28,
    OTHER_FACT: 16,
    OTHER_LANGUAGE: 8,
    NAME_AT_START: 6,
    ABOUT_TARGET: 10,
    LOOPS: 8,
}
"""Kind -> the most questions of it about one edit that the unedited model is asked, to see what it knows. Chosen by
hand: up to twice as many as `bystanders.FIRST_OF_KIND` takes, because the model does not know every answer."""
MOST_PER_EDIT = 96
"""The most questions about one edit that the unedited model is asked. UNRELATED ones fill what the other kinds leave.
Chosen by hand: twice `bystanders.MOST_PER_EDIT`."""
UNRELATED_KINDS = ("country", "city", "landmark", "company", "animal", "writer", "planet", "element")
"""The kinds of names that UNRELATED questions are about. Chosen by hand: small models know many facts about these."""


@dataclass(frozen=True)
class Candidate:
    """A question that may serve as a bystander of an edit."""

    edit: int
    """The number of the edit in the manifest, from 0."""
    kind: str
    """Why the question was chosen, such as SAME_LAST_WORD: its name ends with the edited name's last word."""
    prompt: str
    """The text that the model goes on from."""
    loops_only: bool = False
    """True if the answer may change with the edit, so that only a model that repeats itself counts as a loss."""


@dataclass(frozen=True)
class UneditedNames:
    """The well-known names that ship with editc and that no edit is about, split into two halves: verify measures the
    names of one half, and the edit may preserve those of the other. So no name is both preserved and measured."""

    manifest: Manifest
    """The manifest with the edits."""
    seed: int = 0
    """Decides which half each name falls into."""
    others: tuple[str, ...] = ()
    """Names that other deltas in the same model edit."""

    @cached_property
    def edited_names(self) -> frozenset[str]:
        """Every edited name, folded as `fold_name` does to compare two names."""
        own = (name for edit in self.manifest.language_edits for name in edit.names)
        return frozenset(fold_name(well_known.without_article(name)) for name in (*own, *self.others))

    @cached_property
    def edited_prompts(self) -> EditedPrompts:
        """The prompts and names that the manifest edits."""
        return EditedPrompts(self.manifest)

    def of_kind(self, kind: str, measured: bool = True) -> tuple[str, ...]:
        """The unedited names of one kind, in the order of the list: of the half that verify measures, or of the other
        one."""
        return self._halves[measured].get(kind, ())

    @cached_property
    def _halves(self) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[str, ...]]]:
        """Kind -> names that may be preserved, and kind -> names that are measured. Each name's half depends on the
        seed and on the name alone."""
        found: tuple[dict[str, list[str]], ...] = ({}, {})
        for kind, every in well_known.names().items():
            for name in every:
                plain = fold_name(well_known.without_article(name))
                if plain not in self.edited_names:
                    digest = sha256(f"{self.seed} {plain}".encode("utf-8", "surrogatepass")).digest()
                    found[digest[0] % 2 == 0].setdefault(kind, []).append(name)
        preserved, measured_names = ({kind: tuple(some) for kind, some in half.items()} for half in found)
        return preserved, measured_names

    def with_last_word_of(self, name: str, measured: bool = True) -> tuple[str, ...]:
        """The unedited names of any kind that end with the last word of `name`, from one half."""
        last = fold_name(name).split()[-1:]
        every = chain.from_iterable(self.of_kind(kind, measured) for kind in well_known.names())
        return tuple(dict.fromkeys(one for one in every if fold_name(one).split()[-1:] == last))

    def mentions_edit(self, text: str) -> bool:
        """True for a text that contains an edited name, or is an edited prompt."""
        plain = f" {fold_name(text)} "
        return self.edited_prompts.contains(text) or any(name in plain for name in self.edited_names)


def candidates(unedited: UneditedNames, index: int) -> tuple[Candidate, ...]:
    """The candidate questions for edit number `index`, each prompt once: at most MOST_OF_KIND of each kind and
    MOST_PER_EDIT in all, UNRELATED ones last."""
    edit = unedited.manifest.language_edits[index]
    if isinstance(edit, Fact):
        prompts_by_kind: dict[str, Iterator[tuple[str, bool]]] = {
            SAME_LAST_WORD: _ask_relation(unedited, unedited.with_last_word_of(edit.subject), edit.template),
            SAME_RELATION: _ask_relation(unedited, unedited.of_kind(well_known.kind_of(edit.subject)), edit.template),
            OTHER_FACT: _ask_other_facts(edit),
            OTHER_LANGUAGE: _ask_in_other_languages(edit),
            NAME_AT_START: _ask_at_start(edit),
            LOOPS: _fact_continuations(edit),
        }
    elif isinstance(edit, Redirect):
        prompts_by_kind = {
            SAME_LAST_WORD: _ask_relations(unedited, unedited.with_last_word_of(edit.concept), edit.relations),
            SAME_RELATION: _ask_relations(unedited, unedited.of_kind(well_known.kind_of(edit.concept)), edit.relations),
            ABOUT_TARGET: _ask_about_target(edit),
            LOOPS: _concept_continuations(edit),
        }
    elif isinstance(edit, Ablation):
        prompts_by_kind = {LOOPS: _text_continuations(edit)}
    else:
        prompts_by_kind = {}
    found = [
        one
        for kind, prompts in prompts_by_kind.items()
        for one in islice(_drop_edited(unedited, index, kind, prompts), MOST_OF_KIND[kind])
    ]
    far = islice(_drop_edited(unedited, index, UNRELATED, _unrelated_questions(unedited, edit)), MOST_PER_EDIT)
    every = dict[str, Candidate]()
    for one in chain(found, far):
        every.setdefault(fold_name(one.prompt), one)
    return tuple(every.values())[:MOST_PER_EDIT]


def _drop_edited(
    unedited: UneditedNames, index: int, kind: str, prompts: Iterator[tuple[str, bool]]
) -> Iterator[Candidate]:
    """Turn prompts into candidates of one kind, without prompts that are edited themselves. Questions that are not
    about the subject are also dropped where they mention an edited name. A prompt of which only loops count stays.

    `prompts`: each with whether only loops count for it."""
    own = kind in KINDS_ABOUT_SUBJECT
    for text, loops in prompts:
        if loops or not (unedited.edited_prompts.contains(text) if own else unedited.mentions_edit(text)):
            yield Candidate(index, kind, text, loops)


def _ask_relation(unedited: UneditedNames, names: Sequence[str], template: str) -> Iterator[tuple[str, bool]]:
    """Ask the edited relation about other names, then other questions about the same names."""
    yield from ((well_known.insert_name(template, name), False) for name in names)
    yield from ((text, False) for text in _other_questions(names))


def _ask_relations(
    unedited: UneditedNames, names: Sequence[str], relations: Sequence[PromptAnswer]
) -> Iterator[tuple[str, bool]]:
    """Ask the relations of a concept about other names, and other questions about the same names, in turn."""
    questions = [[well_known.insert_name(one.prompt, name) for name in names] for one in relations]
    yield from ((text, False) for text in _by_turns([*questions, list(_other_questions(names))]))


def _other_questions(names: Sequence[str]) -> Iterator[str]:
    """The listed questions for the kind of each name. The first round asks the first question about the first name,
    the second about the second, and so on; each further round moves on by one question."""
    questions = [well_known.questions().get(well_known.kind_of(name), ()) for name in names]
    for turn in range(max(map(len, questions), default=0)):
        for i, (name, those) in enumerate(zip(names, questions, strict=True)):
            if those and turn < len(those):
                yield well_known.insert_name(those[(i + turn) % len(those)].template, name)


def _ask_other_facts(edit: Fact) -> Iterator[tuple[str, bool]]:
    """Ask about the subject what does not follow from the edited fact."""
    yield from (
        (well_known.insert_name(one.template, subject_with_article(edit)), False) for one in independent_questions(edit)
    )


def independent_questions(edit: Fact) -> Iterator[well_known.QuestionTemplate]:
    """The listed questions for the subject's kind whose topic does not follow from the topic of the edited fact."""
    bound = well_known.implied_topics(well_known.topics_of(edit.template))
    kind = well_known.kind_of(edit.subject)
    yield from (one for one in well_known.questions().get(kind, ()) if one.topic not in bound)


def _ask_in_other_languages(edit: Fact) -> Iterator[tuple[str, bool]]:
    """Ask about the subject in other languages. Where the topic is the edited one, or follows from it, only loops
    count."""
    bound = well_known.implied_topics(well_known.topics_of(edit.template))
    kind, mine = well_known.kind_of(edit.subject), fold_name(edit.subject)
    own = [one for about, one in well_known.foreign_sentences() if fold_name(about) == mine]
    frames = [one for about, one in well_known.foreign_sentences() if "{}" in one.template and kind in about.split()]
    for one in (*own, *frames):
        yield well_known.insert_name(one.template, edit.subject), one.topic in bound


def _ask_at_start(edit: Fact) -> Iterator[tuple[str, bool]]:
    """Put the bare subject at the start of a text. There it is in the attention sink, unless the tokenizer puts a BOS
    token before it."""
    for one in independent_questions(edit):
        if one.template.startswith("{}"):
            yield one.template.replace("{}", edit.subject), False
    yield f"{edit.subject} is", True


def _fact_continuations(edit: Fact) -> Iterator[tuple[str, bool]]:
    """Prompts about the subject of a fact, of which only loops count."""
    name = subject_with_article(edit)
    yield edit.prompt, True
    for template in ("{} is", "I have read about {} and", "A short text about {}:"):
        yield well_known.insert_name(template, name), True
    yield from ((prompt, True) for prompt in edit.paraphrases)


def _concept_continuations(edit: Redirect) -> Iterator[tuple[str, bool]]:
    """Prompts about a redirected or erased concept, of which only loops count."""
    for template in (*(one.prompt for one in edit.relations), "{} is", "I have read about {} and", "{} was"):
        yield well_known.insert_name(template, edit.concept), True


def _text_continuations(edit: Ablation) -> Iterator[tuple[str, bool]]:
    """The first half of each `absent` text of more than three words; only loops count."""
    for text in edit.absent:
        words = text.split()
        if len(words) > 3:
            yield " ".join(words[: len(words) // 2]), True


def _ask_about_target(edit: Redirect) -> Iterator[tuple[str, bool]]:
    """Ask about the concept that a redirection leads to. Nothing if it leads to noise or a refusal."""
    if edit.to is not None:
        yield from ((well_known.insert_name(one.prompt, edit.to), False) for one in edit.relations)
        questions = well_known.questions().get(well_known.kind_of(edit.to), ())
        yield from ((well_known.insert_name(one.template, edit.to), False) for one in questions)


def _unrelated_questions(unedited: UneditedNames, edit: LanguageEdit) -> Iterator[tuple[str, bool]]:
    """Ask about names of UNRELATED_KINDS other than the edited name's kind, one kind after the other in turn."""
    own = well_known.kind_of(edit.names[0])
    questions = [list(_other_questions(unedited.of_kind(kind))) for kind in UNRELATED_KINDS if kind != own]
    yield from ((text, False) for text in _by_turns(questions))


def subject_with_article(edit: Fact) -> str:
    """The subject of a fact, with `the ` before it if the fact's prompt has it there."""
    before = edit.template.partition("{}")[0]
    return f"{well_known.ARTICLE}{edit.subject}" if before.casefold().endswith(well_known.ARTICLE) else edit.subject


def _by_turns(lists: Sequence[Sequence[T]]) -> Iterator[T]:
    """The first item of each list, then the second of each, and so on."""
    for some in zip_longest(*lists):
        yield from (one for one in some if one is not None)
