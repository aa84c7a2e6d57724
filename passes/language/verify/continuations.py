"""Judge a model's continuations: how varied their words are (CounterFact's GE), whether they repeat themselves, and
which answer they name (RESTOR)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log2
from typing import Literal, TypeAlias
from unicodedata import category

from editc.core.text import fold_name

WORDS = re.compile(r"\w+|[^\w\s]")
"""What counts as a word: letters and digits, or one other character."""
WEIGHTS = {2: 2 / 3, 3: 4 / 3}
"""Length of a word sequence -> the weight of its entropy in the mean, as in CounterFact's GE."""
REFUSALS = (
    "i'm sorry",
    "i am sorry",
    "sorry,",
    "i can't",
    "i cannot",
    "i can not",
    "i'm not able",
    "i am not able",
    "i'm unable",
    "i am unable",
    "i don't know",
    "i do not know",
    "i don't have",
    "i do not have",
    "i'm not sure",
    "i am not sure",
    "as an ai",
    "unfortunately",
)
"""The beginnings of a refusal, folded and with straight apostrophes. Chosen by hand from what chat models say."""
REPETITION = re.compile(r"(.{1,60}?)\1{2,}", re.DOTALL)
"""At most 60 characters that stand at least three times in a row."""
LEAST_LETTERS = 12
"""The least number of letters of a repetition in all. So "ha ha ha", a number or a ruled line is no repetition. Chosen
by hand."""
REPLACEMENT = "\ufffd"
"""The character that decoding writes for bytes that form no character."""
CUT_OFF = re.compile(f"{REPLACEMENT}{{1,3}}$")
"""An incomplete character at the end of a text, as a continuation of so many tokens may leave it."""
OUTCOMES = ("new answer", "old answer", "refusal", "something else")
"""Every ContinuationOutcome, in the order of the report."""
ContinuationOutcome: TypeAlias = Literal["new answer", "old answer", "refusal", "something else"]
"""What a continuation names first."""


def entropy(text: str) -> float:
    """The weighted mean entropy, in bits, of the pairs and triples of words: 0 for one word over and over.

    It grows with the length of the text, so compare only texts of the same length.
    """
    words = WORDS.findall(text.casefold())
    return sum(weight * _entropy(_grams(words, n)) for n, weight in WEIGHTS.items()) / len(WEIGHTS)


def is_repetitive(text: str) -> bool:
    """True for a text that repeats itself: the same words at least three times in a row, LEAST_LETTERS letters in
    all."""
    plain = f" {fold_name(text)}"
    return any(_count_letters(one[0]) >= LEAST_LETTERS for one in REPETITION.finditer(plain))


def is_readable(text: str) -> bool:
    """True for a text of characters: no control characters but spaces, and no incomplete characters except at the
    end."""
    return all(category(one) != "Cc" or one.isspace() for one in text) and REPLACEMENT not in CUT_OFF.sub("", text)


def outcome(text: str, new: str, old: str) -> ContinuationOutcome:
    """Which answer a continuation names first; of two answers at the same place, the longer one. If it names none: a
    refusal or something else."""
    answers: tuple[tuple[ContinuationOutcome, str], ...] = (("new answer", new), ("old answer", old))
    named = [(place, -len(fold_name(one)), name) for name, one in answers if (place := _position(text, one)) >= 0]
    if named:
        return min(named)[-1]
    plain = fold_name(text.replace("\u2019", "'")).lstrip("\"'*")
    return "refusal" if plain.startswith(REFUSALS) else "something else"


def _count_letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def _position(text: str, answer: str) -> int:
    """The position of an answer in a folded text as whole words; -1 if it is not there. An answer that is not ASCII may
    stand inside a word too, because some scripts have no spaces."""
    sought = fold_name(answer)
    found = re.search(rf"(?<!\w){re.escape(sought)}(?!\w)", fold_name(text)) if sought else None
    if found is None and sought and not sought.isascii():
        return fold_name(text).find(sought)
    return -1 if found is None else found.start()


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each sequence of n words occurs."""
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _entropy(counts: Counter[tuple[str, ...]]) -> float:
    """The entropy of a distribution in bits; 0 if it is empty."""
    total = sum(counts.values())
    return -sum(count / total * log2(count / total) for count in counts.values()) if total else 0.0
