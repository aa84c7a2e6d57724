"""Other answers to a question, which the unedited model gives when it may not say what it knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from editc.core.language_edits import OnRows, PromptAnswer
from editc.core.prompts import Prompt
from editc.passes.language.schemes.model import Trainable

LONG = 4
"""The letters from which on a word in small letters tells something. Chosen by hand: shorter ones are mostly those that
any sentence needs."""
SEVERAL = 2
"""The retained answers from which on a word of theirs tells nothing. Chosen by hand: they are about others."""
MORE_TOKENS = 4
"""How many more tokens than its own an alternative answer may have. Chosen by hand."""


def telling_words(row: PromptAnswer, common: Collection[str] = ()) -> tuple[str, ...]:
    """The words of a row's answer that tell something: those that its prompt does not have, with a digit, a capital
    that does not begin the answer, or LONG letters. `common`: words in small letters that tell nothing."""
    known = {*_words(f"{row.prompt} {row.subject}".lower()), *common}
    told = (word for at, word in enumerate(_words(str(row.answer))) if _tells(word, at == 0))
    return tuple(dict.fromkeys(word for word in told if word.lower() not in known))


def common_words(rows: Sequence[PromptAnswer]) -> frozenset[str]:
    """The words, in small letters, that at least SEVERAL answers have."""
    counts = Counter(word for row in rows for word in set(_words(str(row.answer).lower())))
    return frozenset(word for word, count in counts.items() if count >= SEVERAL)


def _words(text: str) -> list[str]:
    """The words of a text, without the ending of a possessive."""
    return [word.strip("-") for word in re.findall(r"[^\W_][\w-]*", re.sub(r"['\u2019]s\b", "", text))]


def _tells(word: str, first: bool) -> bool:
    """True if a word of an answer tells something; `first`: it begins the answer, where every word has a capital."""
    capital = len(word) > 1 and word[0].isupper() and not first
    return capital or len(word) >= LONG or any(c.isdigit() for c in word)


def sample_alternatives(
    edit: OnRows, lengths: Sequence[int], chat: bool, network: Trainable, count: int, seed: int
) -> Iterator[tuple[str, ...]]:
    """For each row to forget, at most `count` different other answers to its prompt, drawn from the model with none of
    the words that its own answer tells. What several retained answers say tells nothing. `lengths`: how many tokens the
    rows' own answers have. None where the model says nothing."""
    rows = () if edit.data is None else edit.data.rows
    common = common_words(() if edit.retain is None else edit.retain.rows)
    prompts = [Prompt(row.prompt, chat) for row in rows]
    without = [telling_words(row, common) for row in rows]
    drawn = network.sample(prompts, max(lengths) + MORE_TOKENS, count, seed, without=without) if rows else ()
    for several in drawn:
        first = (text.strip().partition("\n")[0].strip() for text in several)
        yield tuple(dict.fromkeys(text for text in first if text))
