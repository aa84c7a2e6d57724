"""The sentences in which a subject is looked at: what stands before it makes its key, so several are averaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from editc.core.manifest import Fact, Manifest, Redirect
from editc.core.network import PREFIXES, Spot

ASKED = ("{}", "Complete the sentence: {}", "Finish this with one or two words: {}")
"""How a user may put the prompt of a fact to a chat model."""
NAMED = (
    "{}",
    "The {}",
    "This is a text about {}",
    "What do you know about {}",
    "Question: where is {}",
    "Tell me the facts about the {}",
)
"""A concept's name in plain text, with an article and without: some names are hardly ever seen without one."""
TOLD = (
    "{}",
    "What do you know about {}",
    "Answer the question about {}",
    "Choose the best answer about {}",
)
"""A concept's name in what a user says (the forms of ROCR, arXiv 2506.07795)."""


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
        """The name's position in each of the sentences."""
        return self.of(self.name)

    @property
    def anchor(self) -> tuple[Spot, ...]:
        """The target in the very same ones, if there is one."""
        return () if self.to is None else self.of(self.to)

    def of(self, name: str) -> tuple[Spot, ...]:
        """Another name in the same sentences."""
        return tuple(spot(text, name, self.form == "chat") for text in self.templates)


def fact_sentences(fact: Fact, manifest: Manifest) -> Iterator[NameInSentences]:
    """The fact's prompt behind seven beginnings, or in the contexts that the manifest gives; with `chat` also as a user
    puts it."""
    given = fact.contexts or manifest.contexts or tuple(f"{prefix}{{}}" for prefix in PREFIXES)
    yield NameInSentences(fact.subject, "plain", tuple(insert(text, fact.template) for text in given))
    if manifest.chat:
        yield NameInSentences(fact.subject, "chat", tuple(insert(text, fact.template) for text in ASKED))


def redirect_sentences(edit: Redirect, manifest: Manifest) -> Iterator[NameInSentences]:
    """Each name in general sentences and in the edit's own relations, without relation words behind it: a key depends
    on what stands before alone. The target stands in the very same sentences."""
    given = edit.contexts or manifest.contexts
    relations = tuple(one.prompt for one in edit.relations)
    plain = given or tuple(dict.fromkeys((*NAMED, *map(_cut, relations))))
    for name in edit.names:
        yield NameInSentences(name, "plain", plain, edit.to)
        if manifest.chat:
            yield NameInSentences(name, "chat", tuple(dict.fromkeys((*TOLD, *map(_cut, relations)))), edit.to)


def edit_sentences(edit: Fact | Redirect, manifest: Manifest) -> Iterator[NameInSentences]:
    """Every name of an edit, in each form."""
    return fact_sentences(edit, manifest) if isinstance(edit, Fact) else redirect_sentences(edit, manifest)


def edit_spots(manifest: Manifest) -> Iterator[Spot]:
    """Where the edits of a manifest have their keys: for a later one that is to leave them as they are."""
    edits: tuple[Fact | Redirect, ...] = (*manifest.facts, *manifest.redirects)
    for edit in edits:
        for seen in edit_sentences(edit, manifest):
            yield from seen.contexts


def preserved_sentences(edit: Fact | Redirect, manifest: Manifest) -> Iterator[NameInSentences]:
    """Where the model is to say what it said: a redirection's target, and the names that are preserved, in the very
    sentences of the edit."""
    seen = [one for one in edit_sentences(edit, manifest) if one.name == edit.names[0]]
    target = edit.to if isinstance(edit, Redirect) else None
    for name in (*([] if target is None else [target]), *manifest.preserve.concepts):
        yield from (replace(one, name=name, to=None) for one in seen)


def essence(subject: str) -> Spot:
    """ROME's: what the subject is must stay as it was."""
    return spot("{} is a", subject)


def insert(text: str, inside: str) -> str:
    """`inside` at the `{}` of a text."""
    return text.replace("{}", inside)


def spot(text: str, name: str, chat: bool = False) -> Spot:
    """The name at the `{}` of a text, wherever else it stands there."""
    return Spot(insert(text, name), name, chat, text.partition("{}")[0])


def _cut(relation: str) -> str:
    return relation.partition("{}")[0] + "{}"
