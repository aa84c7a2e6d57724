"""Texts for people and names in prompts: numbers with their words, shortened lists, where a name stands."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WORDS = {"matrix": "matrices", "entry": "entries", "is": "are", "was": "were"}
"""Words whose plural does not end in s."""
SHOWN_ROWS = 12
"""How many rows an error shows that names many things: half of a terminal's 24 lines."""


def count(number: int, word: str) -> str:
    """A number with its word: `1 matrix`, `2 matrices`. Of several words the last is put into the plural."""
    first, _, last = word.rpartition(" ")
    many = word if number == 1 else f"{first} {WORDS.get(last, last + 's')}".strip()
    return f"{number:,} {many}"


def first_rows(rows: Sequence[str], most: int = SHOWN_ROWS) -> tuple[str, ...]:
    """The first `most` rows of a list. Where there are more, one row says how many."""
    left = len(rows) - most
    return (*rows[:most], *([f"and {left} more"] if left > 0 else []))


def first_names(names: Sequence[str], most: int) -> str:
    """The first `most` names in one line, and how many more there are."""
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")


def occurrences(text: str, name: str) -> Iterator[int]:
    """Each position at which the name stands as words of its own. Within a longer word its tokens would be others."""
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        if not (_in_one_word(text[start - 1 : start], name[0]) or _in_one_word(name[-1], text[end : end + 1])):
            yield start
        start = text.find(name, end)


def last_occurrence(text: str, name: str) -> int:
    """The last position of the name as words of its own; else its last position within a word; -1 where the text does
    not have it."""
    return max(occurrences(text, name), default=text.rfind(name))


def mentions(prompt: str, name: str) -> bool:
    """True if the words of `name` stand together in `prompt`, whatever the case."""
    words, sought = plain_words(prompt), plain_words(name)
    return bool(sought) and any(words[i : i + len(sought)] == sought for i in range(len(words) - len(sought) + 1))


def fold_name(text: str) -> str:
    """A name in the form in which names are compared: case, spacing and composed accents make no difference."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _in_one_word(left: str, right: str) -> bool:
    """True if two neighbouring characters belong to one word, in scripts with spaces between words."""
    return bool(left and right) and all(one.isdigit() or one.lower() != one.upper() for one in (left, right))


def plain_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()


@dataclass(frozen=True)
class Attribute:
    """What `erase` takes out of the thing that `from` names."""

    name: str
    """The attribute, such as `red`."""
    thing: str
    """The thing, such as `circle`."""
    phrases: tuple[str, ...]
    """How the attribute is said of a thing, each with one `{}` for the thing, such as `red {}`."""

    def of(self, thing: str) -> tuple[str, ...]:
        """A thing with the attribute, in each phrase."""
        return tuple(phrase.replace("{}", thing) for phrase in self.phrases)
