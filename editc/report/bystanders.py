"""What the HTML report shows of bystanders: what nobody named, before and after, worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SHOWN = 12
"""So many are shown; the others are folded."""


@dataclass(frozen=True)
class BystanderRow:
    """One bystander of the strip."""

    name: str
    kind: str
    before: float
    """Share of the pictures that showed it, 0 to 1."""
    after: float
    counts: str
    """`6 of 6 before, 5 after`; empty for a question."""
    said: tuple[str, str]
    state: str
    """`bad` above the bound, `warn` where something was lost, `ok` else."""


@dataclass(frozen=True)
class BystanderStrip:
    """The bystanders of a report; those of `folded` are behind a fold. Questions have texts and no bars."""

    shown: tuple[BystanderRow, ...]
    folded: tuple[BystanderRow, ...]
    changed: int
    questions: bool

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.shown) + len(self.folded)


def strip(record: Mapping[str, Any]) -> BystanderStrip:
    """The bystanders of report.json; of a language model all that changed are shown."""
    questions = "answers" in record
    every = sorted(_rows(record, questions), key=lambda one: one.after - one.before)
    changed = sum(one.state != "ok" for one in every)
    most = max(SHOWN, min(changed, 4 * SHOWN)) if questions else SHOWN
    most = len(every) if len(every) <= most + 4 else most
    return BystanderStrip(tuple(every[:most]), tuple(every[most:]), changed, questions)


def _rows(record: Mapping[str, Any], questions: bool) -> Iterator[BystanderRow]:
    bounds = [claim["bound"] for claim in record["claims"] if claim["name"] == "bystander_loss" and "bound" in claim]
    bound = min(bounds, default=1.0)
    for one in record["bystanders"]:
        before, after, of = float(one["before"]), float(one["after"]), one["of"]
        loss = before - after
        over = loss > bound and not questions
        state = "bad" if over else "warn" if loss > 0 else "ok"
        counts = "" if questions else f"{round(before * of)} of {of} before, {round(after * of)} after"
        yield BystanderRow(one["name"], one["kind"], before, after, counts, tuple(one["said"]), state)
