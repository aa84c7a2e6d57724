"""Well-known names and questions about them, which ship with editc: names by kind, questions by kind, the topics that
a fact may be about, and sentences in other languages. They are read from plain text in `editc/texts/bystanders`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from editc.core.text import fold_name
from editc.texts import read_lines

UNLISTED = "any"
"""The kind of a name that is not in the lists."""
ARTICLE = "the "
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class QuestionTemplate:
    """The beginning of a sentence about a name, for the model to complete with a fact."""

    topic: str
    """The topic of the fact that it asks for."""
    template: str
    """The sentence, with `{}` for the name. A sentence in another language may contain that language's form of the
    name instead of `{}`."""
    language: str = ""
    """The sentence's language; '' for English."""


@cache
def names() -> Mapping[str, tuple[str, ...]]:
    """Kind -> its names, the best known first. A name that takes an article begins with `the `."""
    lines = (line.partition(": ") for line in read_lines("bystanders", "names.txt"))
    return {kind: tuple(name.strip() for name in rest.split("|")) for kind, _, rest in lines}


@cache
def questions() -> Mapping[str, tuple[QuestionTemplate, ...]]:
    """Kind -> the questions that fit its names."""
    found: dict[str, list[QuestionTemplate]] = {}
    for line in read_lines("bystanders", "questions.txt"):
        head, _, template = line.partition(": ")
        kinds, _, topic = head.partition(", ")
        for kind in kinds.split():
            found.setdefault(kind, []).append(QuestionTemplate(topic, template))
    return {kind: tuple(asked) for kind, asked in found.items()}


@cache
def foreign_sentences() -> tuple[tuple[str, QuestionTemplate], ...]:
    """Questions in other languages. Each comes with the English name that it is about or, if its template has a `{}`,
    with the kinds of names that fit it, separated by spaces."""
    found = []
    for line in read_lines("bystanders", "tongues.txt"):
        head, _, template = line.partition(": ")
        about, language, topic = head.split(", ")
        found.append((about, QuestionTemplate(topic, template, language)))
    return tuple(found)


@cache
def topic_words() -> Mapping[str, tuple[frozenset[str], frozenset[str]]]:
    """Topic -> the topics that follow from it, and the words by which a prompt is recognised as being about it."""
    found = {}
    for line in read_lines("bystanders", "topics.txt"):
        head, _, words = line.partition(": ")
        topic, _, follows = head.partition(" > ")
        found[topic] = frozenset(follows.split()), frozenset(words.split())
    return found


def without_article(name: str) -> str:
    """The name without `the ` before it."""
    return name.removeprefix(ARTICLE)


@cache
def kinds_by_name() -> Mapping[str, str]:
    """Folded name without its article -> its kind; the first kind of a name that is listed under several."""
    return {fold_name(without_article(one)): kind for kind, every in reversed(tuple(names().items())) for one in every}


@cache
def _kinds_by_last_word() -> Mapping[str, str]:
    """Last word -> the kind of a listed name of several words that ends with it."""
    return {one.split()[-1]: kind for one, kind in kinds_by_name().items() if len(one.split()) > 1}


def kind_of(name: str) -> str:
    """The kind of a name: its own if it is listed, else that of a listed name with the same last word, else
    UNLISTED."""
    sought = fold_name(without_article(name))
    words = sought.split()
    alike = _kinds_by_last_word().get(words[-1], UNLISTED) if len(words) > 1 else UNLISTED
    return kinds_by_name().get(sought, alike)


def insert_name(template: str, name: str) -> str:
    """Put a name into a sentence at `{}`: without its article if the sentence has one there. The sentence begins with
    a capital."""
    before = template.partition("{}")[0]
    inserted = without_article(name) if before.casefold().endswith(ARTICLE) else name
    text = template.replace("{}", inserted)
    return text[:1].upper() + text[1:]


def topics_of(prompt: str) -> frozenset[str]:
    """The topics of a prompt: those with the most words in it. Empty if it contains no topic's word."""
    words = {word.casefold() for word in WORD.findall(prompt)}
    shares = {topic: len(words & cues) for topic, (_, cues) in topic_words().items()}
    most = max(shares.values())
    return frozenset(topic for topic, count in shares.items() if count == most and count)


def implied_topics(edited: frozenset[str]) -> frozenset[str]:
    """The topics whose facts may change with a fact about the `edited` topics: these themselves and all that follow
    from them. For a fact of unknown topic (none given): every topic but `time` and `use`."""
    if not edited:
        return frozenset(topic_words()) - {"time", "use"}
    return edited.union(*(topic_words()[topic][0] for topic in edited))
