"""The verdict that people read: *Works?*, *Costs?*, *Robust?*, each green, amber or red, each with its numbers.

Report, page, terminal and `--json` all say it from this one value; `editc.judging` makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, TypeAlias

from editc.numerics.binomial import lower_limit, upper_limit

State: TypeAlias = Literal["red", "amber", "green", "plain"]
STATES: tuple[State, ...] = ("red", "amber", "green", "plain")
"""Worst first; `plain` is a figure that decides nothing."""
QUESTIONS = ("Works?", "Costs?", "Robust?")
COLOURS: Mapping[State, str] = {"red": "#b3261e", "amber": "#8a5a00", "green": "#17734a"}
ANSI: Mapping[State, str] = {"red": "red", "amber": "yellow", "green": "green"}
SHOWN_REASONS = 4
"""Reasons that a line shows; the others are in report.json."""


@dataclass(frozen=True)
class Share:
    """So many `count` of so many `of`."""

    count: int
    of: int

    @property
    def at_most(self) -> float:
        """The one-sided 95 % limit above: 0 of 20 is at most 0.14."""
        return upper_limit(self.count, self.of)

    @property
    def at_least(self) -> float:
        """The one-sided 95 % limit below: 20 of 20 is at least 0.86."""
        return lower_limit(self.count, self.of)

    def __str__(self) -> str:
        return f"{self.count} of {self.of}"


@dataclass(frozen=True)
class Reason:
    """One measurement that speaks for or against an edit, or one that is missing."""

    state: State
    text: str
    """What was found, for people, with its number and its interval."""
    claim: str = ""
    """The claim that it is from; empty where something was not measured at all."""
    subject: str = ""
    value: float | None = None
    """The claim's value."""
    share: Share | None = None
    """The count behind a share of pictures or prompts; None for other figures."""
    limit: float | None = None
    """The 95 % limit of the share on its bad side: `at_most` of what should not be, `at_least` of what should."""


@dataclass(frozen=True)
class Judgement:
    """One line of the verdict: its question and the reasons, worst first."""

    question: str
    reasons: tuple[Reason, ...]

    @property
    def state(self) -> State:
        """The worst of its reasons; amber where nothing decides, for nothing was checked."""
        worst = min((STATES.index(reason.state) for reason in self.reasons), default=STATES.index("plain"))
        return "amber" if STATES[worst] == "plain" else STATES[worst]

    @property
    def texts(self) -> tuple[str, ...]:
        """The first reasons in words; one for the others where there are more."""
        texts = tuple(reason.text for reason in self.reasons)
        left = len(texts) - SHOWN_REASONS
        return texts if left <= 1 else (*texts[:SHOWN_REASONS], f"and {left} more (report.json has all)")


@dataclass(frozen=True)
class Verdict:
    """Whether the edit does what was asked, what it cost, and whether what was edited can be brought back."""

    works: Judgement
    costs: Judgement
    robust: Judgement

    @property
    def lines(self) -> tuple[Judgement, ...]:
        """The three in the order in which they are read."""
        return self.works, self.costs, self.robust

    @property
    def state(self) -> State:
        """The worst of the three."""
        return STATES[min(STATES.index(line.state) for line in self.lines)]

    @property
    def short(self) -> str:
        """`works green, costs amber, robust red`."""
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
    """The reasons in the order of their states; those of one state stay in the order given."""
    return Judgement(question, tuple(sorted(reasons, key=lambda reason: STATES.index(reason.state))))


def as_lines(verdict: Verdict) -> list[str]:
    """The verdict as text: `Works?   green  0 of 20 pictures ...`, each further reason on a line of its own."""
    lines = []
    for line in verdict.lines:
        first, *others = line.texts or ("not checked",)
        lines.append(f"{line.question:<8} {line.state:<6} {first}")
        lines += [f"{'':<15} {text}" for text in others]
    return lines


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON values."""
    lines = {
        line.question.rstrip("?").lower(): {"state": line.state, "reasons": [_reason(one) for one in line.reasons]}
        for line in verdict.lines
    }
    return {"state": verdict.state, **lines}


def _reason(reason: Reason) -> Mapping[str, Any]:
    record: dict[str, Any] = {"state": reason.state, "text": reason.text}
    record |= {name: text for name in ("claim", "subject") if (text := getattr(reason, name))}
    record |= {name: found for name in ("value", "limit") if (found := getattr(reason, name)) is not None}
    if reason.share is not None:
        record |= {"count": reason.share.count, "of": reason.share.of}
    return record
