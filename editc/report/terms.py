"""Explain the words that a build prints: its measurements, and the words of `glossary.txt`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from editc.report.words import TITLES
from editc.texts import read_text

BOUND_KEYS: Mapping[str, str] = {
    "erased": "verify.images.erased_at_most",
    "kept_loss": "verify.images.kept_loss_at_most",
    "toward_gap": "verify.images.share_gap_at_most",
    "brought_back": "verify.attacks.ATTACK.at_most",
}
"""Measurement -> the manifest's key that bounds it, where the names differ. The others stand under `constraints`."""
PAGES: Mapping[str, str] = {
    "recoverable": "docs/explanation/certificate.md",
    "attacked": "docs/explanation/certificate.md",
    "brought_back": "docs/reference/attacks.md",
    "bystander_loss": "docs/reference/report.md",
    "at_start": "docs/reference/language.md",
    "carried": "docs/reference/language.md",
    "leak": "docs/reference/families.md",
    "erase_residual": "docs/measurements/erasure.md",
}
"""Measurement -> the page of the docs that says more, where there is one."""


@dataclass(frozen=True)
class Topic:
    """The words about one subject."""

    title: str
    """The heading in the glossary."""
    page: str
    """The page that says more."""
    words: Mapping[str, str]
    """Word -> what it means, in a sentence or two."""


@cache
def topics() -> tuple[Topic, ...]:
    """Read the glossary: the topics of `glossary.txt`, in its order."""

    found: list[Topic] = []
    for section in read_text("glossary.txt").split("\n# ")[1:]:
        heading, *lines = section.strip().splitlines()
        title, _, page = heading.removesuffix(")").partition(" (")
        entries = (line.partition(": ") for line in lines)
        found.append(Topic(title, page, {word: says for word, _, says in entries}))
    return tuple(found)


def all_words() -> tuple[str, ...]:
    """List every word that `explain` knows, in lower case."""
    return (*TITLES, *(word.lower() for topic in topics() for word in topic.words))


def explain(name: str) -> str:
    """Return what a word of `all_words` means and, for a measurement, which bound limits it."""
    for topic in topics():
        for word, says in topic.words.items():
            if word.lower() == name:
                return "\n".join([word, "", says, "", f"more: {topic.page}", ""])
    title, about = TITLES[name]
    return "\n".join([f"measurement {name}: {title}", "", f"{about[:1].upper()}{about[1:]}.", "", *_more(name), ""])


def bound_of(name: str) -> str:
    """Return the manifest's key that bounds a measurement, and on which side; empty where none does."""
    from dataclasses import fields

    from editc.core.manifest import Constraints

    if name not in BOUND_KEYS and name not in {one.name for one in fields(Constraints)}:
        return ""
    side = "minimum" if name in Constraints.MINIMA else "maximum"
    return f"{BOUND_KEYS.get(name, f'constraints.{name}')} ({side})"


def _more(name: str) -> Iterator[str]:
    """Yield the bound of a measurement and the page that says more."""
    bound = bound_of(name)
    yield f"bound in a manifest: {bound}" if bound else "reported only: a manifest cannot bound it"
    if name in PAGES:
        yield f"more: {PAGES[name]}"
