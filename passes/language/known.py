"""What ships with editc for a language model to be asked about: well-known names by kind, what is asked of a kind,
which topic a fact is about, and names in other languages. Plain text, in `editc/texts/bystanders`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from editc.core.text import fold_name
from editc.texts import read_lines

ANY = "any"
"""The kind of a name that is not in the list."""
ARTICLE = "the "
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Ask:
    """A sentence by which a name is asked about."""

    topic: str
    """The topic of the fact that it asks for."""
    template: str
    """The sentence, with `{}` for the name. A sentence in another language may have that language's form of the name in
    its place."""
    language: str = ""
    """The sentence's language; '' for English."""


@cache
def names() -> Mapping[str, tuple[str, ...]]:
    """The names of each kind, the best known first; `the ` before a name is its article."""
    lines = (line.partition(": ") for line in read_lines("bystanders", "names.txt"))
    return {kind: tuple(name.strip() for name in rest.split("|")) for kind, _, rest in lines}


@cache
def questions() -> Mapping[str, tuple[Ask, ...]]:
    """What is asked of the names of each kind."""
    found: dict[str, list[Ask]] = {}
    for line in read_lines("bystanders", "questions.txt"):
        head, _, template = line.partition(": ")
        kinds, _, topic = head.partition(", ")
        for kind in kinds.split():
            found.setdefault(kind, []).append(Ask(topic, template))
    return {kind: tuple(asked) for kind, asked in found.items()}


@cache
def foreign_sentences() -> tuple[tuple[str, Ask], ...]:
    """Sentences of other languages, each with the name that it is about, or the kinds whose names fit it."""
    found = []
    for line in read_lines("bystanders", "tongues.txt"):
        head, _, template = line.partition(": ")
        about, manifest, topic = head.split(", ")
        found.append((about, Ask(topic, template, manifest)))
    return tuple(found)


@cache
def topics() -> Mapping[str, tuple[frozenset[str], frozenset[str]]]:
    """Of each topic the topics that follow from it, and the words that tell it."""
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
    """The kind of each listed name, in the form in which two names are compared."""
    return {fold_name(without_article(one)): kind for kind, every in reversed(tuple(names().items())) for one in every}


@cache
def _kinds_by_last() -> Mapping[str, str]:
    """The kind of the first listed name of several words that ends with each word."""
    return {one.split()[-1]: kind for one, kind in kinds_by_name().items() if len(one.split()) > 1}


def kind_of(name: str) -> str:
    """The kind of a name: its own, else that of the first listed name with the same last word, else ANY."""
    sought = fold_name(without_article(name))
    words = sought.split()
    alike = _kinds_by_last().get(words[-1], ANY) if len(words) > 1 else ANY
    return kinds_by_name().get(sought, alike)


def insert_name(template: str, name: str) -> str:
    """The name in a sentence: with its article unless the sentence has one there, and with a capital at the start."""
    before = template.partition("{}")[0]
    told = without_article(name) if before.casefold().endswith(ARTICLE) else name
    text = template.replace("{}", told)
    return text[:1].upper() + text[1:]


def topics_of(prompt: str) -> frozenset[str]:
    """The topics whose words a prompt has, those with most of them; none where it has none."""
    words = {word.casefold() for word in WORD.findall(prompt)}
    shares = {topic: len(words & cues) for topic, (_, cues) in topics().items()}
    most = max(shares.values())
    return frozenset(topic for topic, count in shares.items() if count == most and count)


def implied_topics(told: frozenset[str]) -> frozenset[str]:
    """The topics themselves, and those that follow from one of them; of no topic every topic that tells what a thing is
    or when: nothing is known to be free of a fact of unknown topic but those."""
    if not told:
        return frozenset(topics()) - {"time", "use"}
    return told.union(*(topics()[topic][0] for topic in told))
