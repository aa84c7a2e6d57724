"""What a model goes on with: how varied its words are (CounterFact's GE), and whose answer they hold (RESTOR)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log2
from typing import Literal, TypeAlias
from unicodedata import category

from editc.core.text import fold_name

WORDS = re.compile(r"\w+|[^\w\s]")
WEIGHTS = {2: 2 / 3, 3: 4 / 3}
"""Of the entropy of pairs and of triples, as CounterFact weighs them before it takes the mean."""
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
"""What a refusal begins with, apostrophes straightened."""
CIRCLE = re.compile(r"(.{1,60}?)\1{2,}", re.DOTALL)
"""Something that is said at least three times in a row."""
ROUND = 12
"""Characters, letters or digits, that a circle has at least in all: "ha ha ha" is none, nor is a number or a rule."""
CUT = "\ufffd"
"""What decoding writes for bytes that stand for no character."""
ENDS = re.compile(f"{CUT}{{1,3}}$")
"""What a cut leaves of a character at the end of a text, whose last byte at least is not there."""
OUTCOMES = ("new answer", "old answer", "refusal", "something else")
ContinuationOutcome: TypeAlias = Literal["new answer", "old answer", "refusal", "something else"]


def entropy(text: str) -> float:
    """The weighted mean entropy, in bits, of the pairs and triples of words: 0 for a word that is said over and over.

    It grows with the length of the text: only texts of one length can be compared.
    """
    words = WORDS.findall(text.casefold())
    return sum(weight * _entropy(_grams(words, n)) for n, weight in WEIGHTS.items()) / len(WEIGHTS)


def is_circling(text: str) -> bool:
    """True for words that go round in circles: something said three times in a row or more, at some length."""
    plain = f" {fold_name(text)}"
    return any(_letters(one[0]) >= ROUND for one in CIRCLE.finditer(plain))


def is_readable(text: str) -> bool:
    """True for text: no control characters, and no bytes that stand for no character but those that the end cut off."""
    return all(category(one) != "Cc" or one.isspace() for one in text) and CUT not in ENDS.sub("", text)


def outcome(text: str, new: str, old: str) -> ContinuationOutcome:
    """Which of the answers a continuation names first, of two at one place the longer; where it names none, whether it
    is a refusal."""
    answers: tuple[tuple[ContinuationOutcome, str], ...] = (("new answer", new), ("old answer", old))
    named = [(place, -len(fold_name(one)), name) for name, one in answers if (place := _find(text, one)) >= 0]
    if named:
        return min(named)[-1]
    plain = fold_name(text.replace("\u2019", "'")).lstrip("\"'*")
    return "refusal" if plain.startswith(REFUSALS) else "something else"


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def _find(text: str, answer: str) -> int:
    """Where the answer stands as whole words, -1 where it does not; in a script without spaces anywhere."""
    sought = fold_name(answer)
    found = re.search(rf"(?<!\w){re.escape(sought)}(?!\w)", fold_name(text)) if sought else None
    if found is None and sought and not sought.isascii():
        return fold_name(text).find(sought)
    return -1 if found is None else found.start()


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _entropy(counts: Counter[tuple[str, ...]]) -> float:
    total = sum(counts.values())
    return -sum(count / total * log2(count / total) for count in counts.values()) if total else 0.0
