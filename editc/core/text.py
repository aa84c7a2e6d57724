"""Words in texts: where a name stands as words of its own, and numbers with their words."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

WORDS = {"matrix": "matrices", "is": "are", "was": "were"}
"""Words whose many is not made with an s."""
SHOWN_ROWS = 12
"""Rows under an error that names many things: half of a terminal's 24 lines."""


def count(number: int, word: str) -> str:
    """`1 matrix`, `2 matrices`: a number with its word, of which the last is put into the plural."""
    first, _, last = word.rpartition(" ")
    many = word if number == 1 else f"{first} {WORDS.get(last, last + 's')}".strip()
    return f"{number:,} {many}"


def first_rows(rows: Sequence[str], most: int = SHOWN_ROWS) -> tuple[str, ...]:
    """The first `most` rows of a list, and a row that says how many more there are."""
    left = len(rows) - most
    return (*rows[:most], *([f"and {left} more"] if left > 0 else []))


def first_names(names: Sequence[str], most: int) -> str:
    """The first `most` names in one line, and how many more there are."""
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")


def occurrences(text: str, name: str) -> Iterator[int]:
    """Where the name stands and is no part of a longer word: its tokens would be others."""
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        if not (_in_one_word(text[start - 1 : start], name[0]) or _in_one_word(name[-1], text[end : end + 1])):
            yield start
        start = text.find(name, end)


def last_occurrence(text: str, name: str) -> int:
    """Where the name last stands, as words of its own if it does anywhere; -1 if it does not stand there at all."""
    return max(occurrences(text, name), default=text.rfind(name))


def mentions(prompt: str, name: str) -> bool:
    """True if the words of `name` stand together in `prompt`, whatever the case."""
    words, sought = _plain_words(prompt), _plain_words(name)
    return bool(sought) and any(words[i : i + len(sought)] == sought for i in range(len(words) - len(sought) + 1))


def fold_name(text: str) -> str:
    """The form in which two names are compared: case, spacing and composed accents make no difference to the tokens."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _in_one_word(left: str, right: str) -> bool:
    """True for two characters of one word, in scripts that have spaces between words."""
    return bool(left and right) and all(one.isdigit() or one.lower() != one.upper() for one in (left, right))


def _plain_words(text: str) -> list[str]:
    """The words of a text, lower case, without marks."""
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()
