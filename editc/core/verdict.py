"""The verdict on a report: three lines (works, costs, robust), each with a state and its reasons. The rules are in
`editc.judging`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, TypeAlias

from editc.numerics.binomial import lower_limit, upper_limit

State: TypeAlias = Literal["red", "amber", "green", "plain"]
"""What a line or a reason comes to."""
STATES: tuple[State, ...] = ("red", "amber", "green", "plain")
"""All states, worst first. `plain` marks a figure that decides nothing."""
QUESTIONS = ("Works?", "Costs?", "Robust?")
"""The questions of the three lines, in the order in which they are shown."""
COLOURS: Mapping[State, str] = {"red": "#b3261e", "amber": "#8a5a00", "green": "#17734a"}
"""State -> its colour in HTML."""
ANSI: Mapping[State, str] = {"red": "red", "amber": "yellow", "green": "green"}
"""State -> its colour in a terminal."""
SHOWN_REASONS = 6
"""How many reasons a line shows; report.json has all. Enough for the five kinds of access of `Robust?` and one more."""


@dataclass(frozen=True)
class Share:
    """A count out of a number of pictures or prompts."""

    count: int
    """How many were counted."""
    of: int
    """Out of how many."""

    @property
    def at_most(self) -> float:
        """The one-sided 95 % upper limit of the share: 0 of 20 is at most 0.14."""
        return upper_limit(self.count, self.of)

    @property
    def at_least(self) -> float:
        """The one-sided 95 % lower limit of the share: 20 of 20 is at least 0.86."""
        return lower_limit(self.count, self.of)

    def __str__(self) -> str:
        return f"{self.count} of {self.of}"


@dataclass(frozen=True)
class Reason:
    """One measurement that speaks for or against an edit, or a measurement that is missing."""

    state: State
    """How good the measurement is."""
    text: str
    """What was found, for people, with its number and its interval."""
    claim: str = ""
    """The name of the claim that it comes from. Empty where nothing was measured."""
    subject: str = ""
    """The subject of that claim. Empty where it has none."""
    value: float | None = None
    """The value of that claim. None where nothing was measured."""
    share: Share | None = None
    """The count behind a share of pictures or prompts. None for other figures."""
    limit: float | None = None
    """The 95 % limit of the share on its bad side: `at_most` for what should not happen, `at_least` for what should.
    None for other figures."""


@dataclass(frozen=True)
class Judgement:
    """One line of the verdict."""

    question: str
    """The question that it answers, such as `Works?`."""
    reasons: tuple[Reason, ...]
    """The reasons for its state, worst first."""

    @property
    def state(self) -> State:
        """The worst state of the reasons. Amber where no reason decides, because then nothing was checked."""
        worst = min((STATES.index(reason.state) for reason in self.reasons), default=STATES.index("plain"))
        return "amber" if STATES[worst] == "plain" else STATES[worst]

    @property
    def texts(self) -> tuple[str, ...]:
        """The first reasons in words, and one line that counts the others."""
        texts = tuple(reason.text for reason in self.reasons)
        left = len(texts) - SHOWN_REASONS
        return texts if left <= 1 else (*texts[:SHOWN_REASONS], f"and {left} more (report.json has all)")


@dataclass(frozen=True)
class Verdict:
    """The three lines of a verdict."""

    works: Judgement
    """Whether the edit does what was asked."""
    costs: Judgement
    """What the edit changed besides."""
    robust: Judgement
    """Whether what was edited can be brought back."""

    @property
    def lines(self) -> tuple[Judgement, ...]:
        """The three lines, in the order in which they are shown."""
        return self.works, self.costs, self.robust

    @property
    def state(self) -> State:
        """The worst state of the three lines."""
        return STATES[min(STATES.index(line.state) for line in self.lines)]

    @property
    def short(self) -> str:
        """The three states in one line: `works green, costs amber, robust red`."""
        return ", ".join(f"{line.question.rstrip('?').lower()} {line.state}" for line in self.lines)

    def __str__(self) -> str:
        return "\n".join(as_lines(self))

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{line.question}</th><td style='color:{COLOURS[line.state]}'>{line.state}"
            f"</td><td style='text-align:left'>{'<br>'.join(map(escape, line.texts))}</td></tr>"
            for line in self.lines
        )
        return f"<table>{rows}</table>"


def make_judgement(question: str, reasons: Iterable[Reason]) -> Judgement:
    """Orders the reasons by state, worst first; reasons of the same state stay in their order."""
    return Judgement(question, tuple(sorted(reasons, key=lambda reason: STATES.index(reason.state))))


def as_lines(verdict: Verdict) -> list[str]:
    """The verdict as text: `Works? green 0 of 20 pictures ...`. Each further reason has a line of its own."""
    lines = []
    for line in verdict.lines:
        first, *others = line.texts or ("not checked",)
        lines.append(f"{line.question:<8} {line.state:<6} {first}")
        lines += [f"{'':<15} {text}" for text in others]
    return lines


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON values, for report.json."""
    lines = {
        line.question.rstrip("?").lower(): {"state": line.state, "reasons": [_reason(one) for one in line.reasons]}
        for line in verdict.lines
    }
    return {"state": verdict.state, **lines}


def _reason(reason: Reason) -> Mapping[str, Any]:
    """A reason as JSON values, without what is empty or None."""
    record: dict[str, Any] = {"state": reason.state, "text": reason.text}
    record |= {name: text for name in ("claim", "subject") if (text := getattr(reason, name))}
    record |= {name: found for name in ("value", "limit") if (found := getattr(reason, name)) is not None}
    if reason.share is not None:
        record |= {"count": reason.share.count, "of": reason.share.of}
    return record
