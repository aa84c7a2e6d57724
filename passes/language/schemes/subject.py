"""What is to be forgotten, in tokens: rows to forget and rows to retain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from editc.core.language_edits import DataSet, OnRows, PromptAnswer
from editc.core.prompts import Cloze
from editc.passes.language.schemes.alternatives import sample_alternatives
from editc.passes.language.schemes.model import Trainable
from editc.passes.language.schemes.ordinary import ordinary_rows
from editc.passes.language.schemes.strangers import STRANGERS, Stranger, pair, rename

Part: TypeAlias = Literal["forget", "retain", "ordinary"]
"""A part of the rows that a training has."""
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
    alternatives: tuple[Tokens, ...] = ()
    """The same prompt with other answers: what the unedited model says without what the row tells, else a refusal.
    Empty where no method asks for them."""


@dataclass(frozen=True)
class Subject:
    """One edit `forget` or `learn`."""

    concept: str
    """Its name."""
    forget: tuple[Row, ...]
    """What is forgotten, or learned."""
    retain: tuple[Row, ...]
    """What must stay. Empty where the manifest names nothing."""
    ordinary: tuple[Row, ...] = ()
    """Ordinary questions with what the unedited model says to them. Empty where no method asks for them."""

    def rows(self, of: Part) -> tuple[Row, ...]:
        """The rows of one part."""
        return {"forget": self.forget, "retain": self.retain, "ordinary": self.ordinary}[of]


@dataclass(frozen=True)
class Beside:
    """What a method asks for beside the rows."""

    strangers: bool = False
    """True: the rows to forget are also made about others."""
    alternatives: int = 0
    """How many other answers each row to forget gets."""
    ordinary: bool = False
    """True: there are ordinary questions."""


NOTHING = Beside()
"""What most methods ask for."""


def make_subject(edit: OnRows, chat: bool, network: Trainable, seed: int, beside: Beside = NOTHING) -> Subject:
    """The rows of an edit in tokens, and what a method asks for beside them. `chat`: prompts go through the chat
    template. Raises LookupError for a row that is a single token, and for one without a subject."""
    order = np.random.default_rng([seed, 4])
    forget, retain = (tuple(_rows(one, chat, network, order)) for one in (edit.data, edit.retain))
    if beside.strangers and edit.data is not None:
        rows = zip(forget, edit.data.rows, strict=True)
        forget = tuple(replace(one, strangers=tuple(_strangers(one, row, chat, network))) for one, row in rows)
    if beside.alternatives and edit.data is not None:
        forget = tuple(_with_alternatives(forget, edit, chat, network, beside.alternatives, seed))
    return Subject(edit.concept, forget, retain, tuple(_ordinary(edit, chat, network, seed)) if beside.ordinary else ())


def _ordinary(edit: OnRows, chat: bool, network: Trainable, seed: int) -> Iterator[Row]:
    """Ordinary questions in tokens."""
    for row in ordinary_rows(edit, chat, network, seed):
        own = encode(row, str(row.answer), chat, network)
        yield Row(own, own)


def _with_alternatives(
    made: Sequence[Row], edit: OnRows, chat: bool, network: Trainable, count: int, seed: int
) -> Iterator[Row]:
    """The rows with other answers."""
    lengths = [one.own.answer for one in made]
    rows = () if edit.data is None else edit.data.rows
    texts = sample_alternatives(edit, lengths, chat, network, count, seed)
    for one, row, several in zip(made, rows, texts, strict=True):
        others = tuple(encode(row, text, chat, network) for text in several)
        yield replace(one, alternatives=others or (one.refused,))


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
