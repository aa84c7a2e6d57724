"""What the HTML report shows of bystanders: concepts or questions that nobody named, before and after, worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SHOWN = 12
"""How many bystanders are shown; the others are folded. Chosen by hand."""


@dataclass(frozen=True)
class BystanderRow:
    """One bystander."""

    name: str
    """The concept or the question."""
    kind: str
    """Why it was measured: see `measurements.Bystander`."""
    before: float
    """The share of its pictures that showed it before the edit, 0 to 1. Of a question: 1."""
    after: float
    """The same share after the edit. Of a question: 1 where the answer is the same, else 0."""
    counts: str
    """The text `6 of 6 before, 5 after`. Empty for a question."""
    said: tuple[str, str]
    """What the model answered before and after. Two empty texts for a concept."""
    state: str
    """`bad` above the bound, `warn` where something was lost, else `ok`."""


@dataclass(frozen=True)
class BystanderStrip:
    """The bystanders of a report."""

    shown: tuple[BystanderRow, ...]
    """Those that the page shows, worst first."""
    folded: tuple[BystanderRow, ...]
    """The rest, behind a fold."""
    changed: int
    """How many lost something."""
    questions: bool
    """True for a language model: its bystanders are questions, with texts in place of bars."""

    @property
    def total(self) -> int:
        """The number of bystanders."""
        return len(self.shown) + len(self.folded)


def strip(record: Mapping[str, Any]) -> BystanderStrip:
    """Return the bystanders of report.json. Of a language model more are shown if more changed, up to four times
    SHOWN."""
    questions = "answers" in record
    every = sorted(_rows(record, questions), key=lambda one: one.after - one.before)
    changed = sum(one.state != "ok" for one in every)
    most = max(SHOWN, min(changed, 4 * SHOWN)) if questions else SHOWN
    most = len(every) if len(every) <= most + 4 else most
    return BystanderStrip(tuple(every[:most]), tuple(every[most:]), changed, questions)


def _rows(record: Mapping[str, Any], questions: bool) -> Iterator[BystanderRow]:
    """Yield the row of each bystander."""
    bounds = [claim["bound"] for claim in record["claims"] if claim["name"] == "bystander_loss" and "bound" in claim]
    bound = min(bounds, default=1.0)
    for one in record["bystanders"]:
        before, after, of = float(one["before"]), float(one["after"]), one["of"]
        loss = before - after
        over = loss > bound and not questions
        state = "bad" if over else "warn" if loss > 0 else "ok"
        counts = "" if questions else f"{round(before * of)} of {of} before, {round(after * of)} after"
        yield BystanderRow(one["name"], one["kind"], before, after, counts, tuple(one["said"]), state)
