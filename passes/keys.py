"""Which rows of a prompt are edited, and to what each is sent: the three key rules, on plain arrays of rows (t, d)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from editc.ir import Array


@dataclass(frozen=True)
class Pair:
    """Keys and their targets, (d, m) each, and for every column the row of the prompt that it came from."""

    keys: Array
    targets: Array
    rows: tuple[int, ...]


def last(old: Array, old_last: int, new: Array, new_last: int) -> Pair:
    """UCE 2025: the row of the last subject token alone; `*_last` is 0 (BOS) for the empty text."""
    return Pair(old[[old_last]].T, new[[new_last]].T, (old_last,))


def span(old: Array, old_last: int, new: Array, new_last: int) -> Pair:
    """UCE 2023: every row from the last subject token on, shifted so that both last tokens meet, equally many."""
    end = len(old)
    furthest = max(old_last, new_last)
    rows = range(old_last, end - (furthest - old_last))
    return Pair(old[rows.start : rows.stop].T, new[new_last : end - (furthest - new_last)].T, tuple(rows))


@dataclass(frozen=True)
class Phrase:
    """Where a concept stands in an encoded prompt: token rows [first, end)."""

    first: int
    end: int


def aligned(old: Array, at: Phrase, new: Array, target: Phrase) -> Pair:
    """Every row of a prompt that names the concept, sent to its counterpart in the same prompt with the target.

    Rows before the phrase meet rows before, rows after meet rows after, counted from the phrase's end; inside, first
    meets first and last meets last. A target of no tokens (the concept left out) stands for itself by the row after
    it, the first that a reader of the shorter prompt meets in its place. Rows past either end are dropped.
    """
    total = len(old)
    inside = np.arange(at.first, at.end)
    after = np.arange(at.end, total - max(0, (target.end - at.end)))
    sources = np.concatenate([np.arange(at.first), inside, after])
    counterparts = np.concatenate([np.arange(at.first), _within(at, target), after + (target.end - at.end)])
    return Pair(old[sources].T, new[counterparts].T, tuple(int(row) for row in sources))


def _within(at: Phrase, target: Phrase) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    count, width = at.end - at.first, target.end - target.first
    if width == 0:
        return np.full(count, target.first, dtype=np.int64)
    return target.first + np.rint(np.linspace(0 if count > 1 else width - 1, width - 1, count)).astype(np.int64)
