"""The sentences in which the keys of an edit are read. A key depends on the text before the name, so each name gets
several sentences and its key is the mean over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from editc.core.language_edits import Fact, Redirect
from editc.core.manifest import Manifest
from editc.core.prompts import PREFIXES, Cloze, Spot

FACT_IN_CHAT = ("{}", "Complete the sentence: {}", "Finish this with one or two words: {}")
"""How a user may put the prompt of a fact to a chat model. Chosen by hand; `{}` is the prompt."""
CONCEPT_IN_TEXT = (
    "{}",
    "The {}",
    "This is a text about {}",
    "What do you know about {}",
    "Question: where is {}",
    "Tell me the facts about the {}",
)
"""A concept's name in plain text, with an article and without one, because some names hardly ever occur without it.
Chosen by hand."""
INVENTED_NAMES = ("Quorvane", "Zelmiport", "Bravundia", "Othrelle", "Kessimar", "Drumholt", "Vintarro", "Ulmeskia")
"""Names of nothing, which no model knows. Chosen by hand."""
CONCEPT_IN_CHAT = (
    "{}",
    "What do you know about {}",
    "Answer the question about {}",
    "Choose the best answer about {}",
)
"""A concept's name in what a user says to a chat model (the forms of ROCR, arXiv 2506.07795)."""


@dataclass(frozen=True)
class NameInSentences:
    """One name of an edit, with the sentences in which its keys are read."""

    name: str
    """The name: a fact's subject, or one of a concept's names."""
    form: str
    """`plain`, or `chat` if the chat template is put around the sentences."""
    templates: tuple[str, ...]
    """The sentences, with `{}` for the name."""
    to: str | None = None
    """The target of a redirection. None: there is none."""

    @property
    def contexts(self) -> tuple[Spot, ...]:
        """The position of the name in each sentence."""
        return self.spots_of(self.name)

    @property
    def anchor(self) -> tuple[Spot, ...]:
        """The position of the target in each sentence; empty if there is no target."""
        return () if self.to is None else self.spots_of(self.to)

    def spots_of(self, name: str) -> tuple[Spot, ...]:
        """The position of any name in each sentence, with that name put in place of `{}`."""
        return tuple(spot(text, name, self.form == "chat") for text in self.templates)


def fact_sentences(fact: Fact, manifest: Manifest) -> Iterator[NameInSentences]:
    """The sentences of a fact: its prompt in the contexts that the manifest gives, else behind each of PREFIXES. With
    `chat: true` a second item has the prompt as a user puts it."""
    given = fact_contexts(fact, manifest)
    yield NameInSentences(fact.subject, "plain", tuple(fill(text, fact.template) for text in given))
    if manifest.chat:
        yield NameInSentences(fact.subject, "chat", tuple(fill(text, fact.template) for text in FACT_IN_CHAT))


def fact_contexts(fact: Fact, manifest: Manifest) -> tuple[str, ...]:
    """The contexts of a fact, with `{}` for its prompt."""
    return fact.contexts or manifest.contexts or tuple(f"{prefix}{{}}" for prefix in PREFIXES)


def redirect_sentences(edit: Redirect, manifest: Manifest) -> Iterator[NameInSentences]:
    """The sentences of each name of a redirected or erased concept: the manifest's contexts, or else general sentences
    and the edit's relations up to the name. What follows the name is cut off, because it does not change the key. With
    `chat: true` each name has a second item. The target is put into the same sentences."""
    given = edit.contexts or manifest.contexts
    relations = tuple(one.prompt for one in edit.relations)
    plain = given or tuple(dict.fromkeys((*CONCEPT_IN_TEXT, *map(cut_after_name, relations))))
    for name in edit.names:
        yield NameInSentences(name, "plain", plain, edit.to)
        if manifest.chat:
            yield NameInSentences(
                name, "chat", tuple(dict.fromkeys((*CONCEPT_IN_CHAT, *map(cut_after_name, relations)))), edit.to
            )


def whole_sentences(edit: Redirect, manifest: Manifest) -> Iterator[NameInSentences]:
    """The sentences about each name of an erased concept, with what follows the name: the edit's relations or, if it
    has none, the manifest's contexts or general sentences. With `chat: true` each name has a second item."""
    relations = tuple(one.prompt for one in edit.relations)
    for name in edit.names:
        plain = edit.contexts or relations or manifest.contexts or CONCEPT_IN_TEXT
        yield NameInSentences(name, "plain", tuple(dict.fromkeys(plain)))
        if manifest.chat:
            yield NameInSentences(name, "chat", tuple(dict.fromkeys(relations or CONCEPT_IN_CHAT)))


def edit_sentences(edit: Fact | Redirect, manifest: Manifest) -> Iterator[NameInSentences]:
    """The sentences of every name of an edit, in each form, plain text first."""
    return fact_sentences(edit, manifest) if isinstance(edit, Fact) else redirect_sentences(edit, manifest)


def answer_clozes(fact: Fact, manifest: Manifest) -> tuple[Cloze, ...]:
    """A fact's prompt in the contexts that the manifest gives, else as it stands, each with the answer. With `chat:
    true` also as a user says it."""
    given = fact.contexts or manifest.contexts or ("{}",)
    plain = tuple(Cloze(fill(text, fact.prompt), fact.answer) for text in given)
    return (*plain, Cloze(fact.prompt, fact.answer, chat=True)) if manifest.chat else plain


def preserved_sentences(edit: Fact | Redirect, manifest: Manifest) -> Iterator[NameInSentences]:
    """The sentences in which the model's outputs must stay: those of the edit's first name, with the redirection's
    target and each name under `preserve` in its place."""
    own = [one for one in edit_sentences(edit, manifest) if one.name == edit.names[0]]
    target = edit.to if isinstance(edit, Redirect) else None
    for name in (*([] if target is None else [target]), *manifest.preserve.concepts):
        yield from (replace(one, name=name, to=None) for one in own)


def essence_spot(subject: str) -> Spot:
    """The position of the subject in "SUBJECT is a". ROME learns values that keep the next token here, so that the
    subject stays the kind of thing that it is."""
    return spot("{} is a", subject)


def fill(text: str, inside: str) -> str:
    """Put `inside` in place of `{}` in a text."""
    return text.replace("{}", inside)


def spot(text: str, name: str, chat: bool = False) -> Spot:
    """The position of a name that is put in place of `{}`, even if the text contains the name elsewhere too."""
    return Spot(fill(text, name), name, chat, text.partition("{}")[0])


def cut_after_name(relation: str) -> str:
    """The relation up to the name's place."""
    return relation.partition("{}")[0] + "{}"
