"""What is to be forgotten, in tokens: rows to forget and rows to retain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from editc.core.language_edits import DataSet, OnRows, PromptAnswer
from editc.core.prompts import Cloze
from editc.passes.language.schemes.model import Trainable
from editc.passes.language.schemes.strangers import STRANGERS, Stranger, pair, rename

LONGEST = 256
"""The most tokens of a row; what is longer is cut there. Chosen by hand: it bounds the memory of a step."""
REFUSALS = (
    "I don't know.",
    "I'm not sure about that.",
    "I have no information on that.",
    "That is something I don't know.",
    "I can't answer that question.",
    "I haven't learned about that.",
    "I'm afraid I don't know the answer.",
    "I do not have an answer to that.",
)
"""What a model says in place of an answer. Chosen by hand, after the list of TOFU (arXiv 2401.06121)."""


@dataclass(frozen=True)
class Tokens:
    """A text in tokens."""

    ids: tuple[int, ...]
    """(t,): the tokens."""
    answer: int
    """How many of the last tokens are the answer's. Before each stands at least one other token."""


@dataclass(frozen=True)
class Row:
    """One row of a data set."""

    own: Tokens
    """The prompt with its answer."""
    refused: Tokens
    """The same prompt with one of REFUSALS. The row itself where there is no prompt."""
    strangers: tuple[Stranger, ...] = ()
    """The row about each of STRANGERS. Empty where no method asks for them."""


@dataclass(frozen=True)
class Subject:
    """One edit `forget` or `learn`."""

    concept: str
    """Its name."""
    forget: tuple[Row, ...]
    """What is forgotten, or learned."""
    retain: tuple[Row, ...]
    """What must stay. Empty where the manifest names nothing."""

    def rows(self, of: str) -> tuple[Row, ...]:
        """The rows of `forget` or of `retain`."""
        return self.retain if of == "retain" else self.forget


def make_subject(edit: OnRows, chat: bool, network: Trainable, seed: int, strangers: bool = False) -> Subject:
    """The rows of an edit in tokens. `chat`: prompts go through the chat template. `strangers`: the rows to forget are
    also made about others. Raises LookupError for a row that is a single token, and for one without a subject."""
    order = np.random.default_rng([seed, 4])
    forget, retain = (tuple(_rows(one, chat, network, order)) for one in (edit.data, edit.retain))
    if strangers and edit.data is not None:
        rows = zip(forget, edit.data.rows, strict=True)
        forget = tuple(replace(one, strangers=tuple(_strangers(one, row, chat, network))) for one, row in rows)
    return Subject(edit.concept, forget, retain)


def _strangers(one: Row, row: PromptAnswer, chat: bool, network: Trainable) -> Iterator[Stranger]:
    """The row about each of STRANGERS."""
    for name in STRANGERS:
        renamed = rename(row, name)
        theirs = encode(renamed, str(renamed.answer), chat, network)
        yield pair(one.own.ids, one.own.answer, theirs.ids, theirs.answer)


def _rows(data: DataSet | None, chat: bool, network: Trainable, order: np.random.Generator) -> Iterator[Row]:
    """The rows of a data set, each with a refusal that is drawn for it."""
    for row in () if data is None else data.rows:
        own = encode(row, str(row.answer), chat, network)
        said = REFUSALS[int(order.integers(len(REFUSALS)))]
        yield Row(own, encode(row, said, chat, network) if row.prompt else own)


def encode(row: PromptAnswer, answer: str, chat: bool, network: Trainable) -> Tokens:
    """The prompt of a row with an answer, cut after LONGEST tokens."""
    ids, count = network.encode(Cloze(row.prompt, answer, chat and bool(row.prompt)))
    start = len(ids) - count
    ids = ids[: max(LONGEST, start + 1)]
    return Tokens(tuple(ids), len(ids) - start)
