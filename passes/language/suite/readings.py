"""What a model answers to the questions of a suite: the values from which every metric is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from editc.core.measurements import TokenScores


@dataclass(frozen=True)
class Item:
    """One question of a suite with its answers. Every text but the first two may be empty."""

    group: str
    """The set that it belongs to, such as `forget`, `retain` or `holdout`."""
    question: str
    """The question, or a text that the answer continues."""
    answer: str
    """The right answer."""
    paraphrased_question: str = ""
    """The same question in other words."""
    paraphrased_answer: str = ""
    """The right answer in the words of the wrong ones."""
    perturbed_answer: tuple[str, ...] = ()
    """Wrong answers."""
    value: str = ""
    """The words that make an answer right, such as a place. Empty: the whole answer."""
    subject: str = ""
    """Whom the question is about."""
    kind: str = ""
    """What kind of question it is, such as `birthplace`, or one of RWKU's kinds of attacks."""
    raw: bool = False
    """True: the question is a text that goes on, and gets no `Question:` before it."""
    chat: bool = False
    """True: the question goes through the chat template, by itself."""


@dataclass(frozen=True)
class Reading:
    """What one model says to one item."""

    item: Item
    """The question."""
    answer: TokenScores | None = None
    """How likely the tokens of the right answer are. None: not measured."""
    paraphrased: TokenScores | None = None
    """The same of `paraphrased_answer`. None where the item has none."""
    perturbed: tuple[TokenScores, ...] = ()
    """The same of each wrong answer."""
    said: str = ""
    """What the model generates with the likeliest token each time. Empty: not generated."""
    sampled: tuple[str, ...] = ()
    """What it generates when tokens are drawn by their probability. Empty: not generated."""

    @property
    def right(self) -> TokenScores:
        """The right answer in the words of the wrong ones where the item has it, else the right answer: the correct
        side of the truth ratio."""
        found = self.paraphrased or self.answer
        assert found is not None
        return found


Readings: TypeAlias = Mapping[str, Sequence[Reading]]
"""Group -> what a model says to each of its items."""


@dataclass(frozen=True)
class Figure:
    """One figure of a suite."""

    value: float
    """The figure."""
    by_item: tuple[float, ...] = ()
    """The figures of single items, of which `value` is the mean or another summary. Empty where there are none."""
    unit: str = ""
    """`share` for a part of 1, `points` for privleak, '' for what has no unit."""


Figures: TypeAlias = Mapping[str, Figure]
"""Name of a figure, as open-unlearning calls it where it has it -> the figure."""


@dataclass(frozen=True)
class Metric:
    """One kind of measurement: a value of the table `editc.registry.metrics`."""

    summary: str
    """What it says, in one line, with what is good."""
    measure: Callable[[Readings, Figures], Figures]
    """From a model's readings, and the figures of the oracle (empty: there is none), to its own figures. Pure. Leaves
    out what the readings cannot answer."""
    generated: frozenset[str] = frozenset()
    """Groups whose items must be continued greedily for this metric."""
    sampled: frozenset[str] = field(default=frozenset())
    """Groups whose items must be continued by drawing tokens."""


def mean_figure(values: Sequence[float], unit: str = "") -> Figure:
    """The mean of figures of single items, which it keeps."""
    return Figure(float(np.mean(values)), tuple(float(one) for one in values), unit)


def scored(readings: Readings, group: str) -> list[Reading]:
    """The readings of a group whose right answer was scored."""
    return [one for one in readings.get(group, ()) if one.answer is not None]


def compared(readings: Readings, group: str) -> list[Reading]:
    """The readings of a group that have scores of wrong answers too."""
    return [one for one in scored(readings, group) if one.perturbed]


def continued(readings: Readings, group: str) -> list[Reading]:
    """The readings of a group that were continued greedily."""
    return [one for one in readings.get(group, ()) if one.said]
