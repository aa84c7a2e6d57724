"""The first page of a fleet: its cells, worst first, which the reader can sift."""

from __future__ import annotations

from collections import Counter

from editc.core.text import count
from editc.core.verdict import QUESTIONS
from editc.viewing.cells import ORDER, FleetRecord
from editc.viewing.page import Setting, fill_in

WORDS = {"done": "done", "plain": "not judged"}
"""State of a cell -> its word, where that is another."""


def fleet_page(fleet: FleetRecord, served: bool) -> str:
    """The whole page as HTML."""
    found = Counter(cell.state for cell in fleet.cells)
    head = f"{fleet.counts['done']} of {count(len(fleet.cells), 'cell')} done, {fleet.counts['failed']} failed"
    values = {
        "fleet": fleet,
        "head": head,
        "states": [(state, WORDS.get(state, state), found[state]) for state in ORDER if found[state]],
        "questions": [question.rstrip("?") for question in QUESTIONS] if any(c.lights for c in fleet.cells) else [],
        "setting": Setting(served),
        "title": f"{fleet.verb}: {head} · editc view",
        "words": WORDS,
    }
    return fill_in("fleet.html.j2", values)
