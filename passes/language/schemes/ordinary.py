"""Ordinary questions, which are neither forgotten nor retained, with what the unedited model says to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice, takewhile, zip_longest

from editc.core.language_edits import OnRows, PromptAnswer
from editc.core.prompts import Prompt
from editc.core.text import mentions
from editc.passes.language import well_known
from editc.passes.language.schemes.model import Trainable

KINDS = ("scientist", "artist", "musician", "leader", "athlete", "food", "river", "mountain", "university", "painting")
"""The kinds of well-known names that are asked about. None of them is among `candidates.UNRELATED_KINDS`, about which
verification asks what has changed."""
COUNT = 80
"""How many questions there are. Chosen by hand: a training of 100 steps of 8 asks each ten times."""
TOKENS = 20
"""The most tokens of an answer."""


def ordinary_rows(edit: OnRows, chat: bool, network: Trainable, seed: int) -> Iterator[PromptAnswer]:
    """Questions in the form of the rows of an edit, each with an answer that is drawn from the model. A name of which a
    row to forget speaks is left out, and so is a question to which the model says nothing."""
    rows = () if edit.data is None else edit.data.rows
    before, after = frame([row.prompt for row in rows])
    prompts = [f"{before}What is {name}{after}" if after else f"{before}{name} is" for name in _names(rows)]
    drawn = network.sample([Prompt(text, chat) for text in prompts], TOKENS, 1, seed)
    for prompt, (answer,) in zip(prompts, drawn, strict=True):
        if answer.strip():
            yield PromptAnswer(prompt, answer.strip())


def frame(prompts: Sequence[str]) -> tuple[str, str]:
    """What all prompts begin and end with: whole words before, and signs and what follows them behind. Both are empty
    where there are not two different prompts."""
    if len(set(prompts)) < 2:
        return "", ""
    before = _shared(prompts)
    after = _shared([one[::-1] for one in prompts])[::-1]
    sign = next((at for at, letter in enumerate(after) if not letter.isalnum() and not letter.isspace()), len(after))
    return before[: max(before.rfind(" "), before.rfind("\n")) + 1], after[sign:]


def _shared(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    return "".join(letters[0] for letters in takewhile(lambda some: len(set(some)) == 1, zip(*texts, strict=False)))


def _names(rows: Sequence[PromptAnswer]) -> list[str]:
    """COUNT well-known names, the best known of each kind first."""
    told = " ".join(f"{row.prompt} {row.answer}" for row in rows)
    kinds = [[name for name in well_known.names()[kind] if not mentions(told, name)] for kind in KINDS]
    return list(islice((name for name in chain.from_iterable(zip_longest(*kinds)) if name), COUNT))
