"""Which rows of a prompt are edited, and to what each is sent: the key rules, on row numbers or plain rows (t, d)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.ir import Array
from editc.core.manifest import TokenWeights

Rows: TypeAlias = NDArray[np.int64]


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
    count = min(len(old) - old_last, len(new) - new_last)
    rows = range(old_last, old_last + count)
    return Pair(old[old_last : old_last + count].T, new[new_last : new_last + count].T, tuple(rows))


@dataclass(frozen=True)
class Phrase:
    """Where a concept stands in an encoded prompt: token rows [first, end)."""

    first: int
    end: int


def aligned(total: int, at: Phrase, target: Phrase, other: int | None = None) -> tuple[Rows, Rows]:
    """Rows of a prompt of `total` tokens that names the concept, and for each its counterpart in the same prompt with
    the target in its place, which has `other` tokens (None: as many).

    Rows before the phrase meet rows before, rows after meet rows after, counted from the phrase's end; inside, first
    meets first and last meets last. A target of no tokens (the concept left out) stands for itself by the row after
    it, the one that a reader of the shorter prompt meets in its place. Rows past either end are dropped.
    """
    shift = target.end - at.end
    before, after = np.arange(at.first), np.arange(at.end, min(total, (total if other is None else other) - shift))
    sources = np.concatenate([before, np.arange(at.first, at.end), after])
    return sources, np.concatenate([before, _within(at, target), after + shift])


def matched(total: int, at: Phrase, target: Phrase, other: int | None = None) -> tuple[Rows, Rows]:
    """MACE's rows: those of `aligned` outside the phrase, what a prompt's other words picked up of the concept.

    The concept's own tokens are left alone (in MACE, to a LoRA of their own).
    """
    sources, counterparts = aligned(total, at, target, other)
    outside = (sources < at.first) | (sources >= at.end)
    return sources[outside], counterparts[outside]


def eot(total: int, at: Phrase, ends: tuple[int, int], other: int | None = None) -> tuple[Rows, Rows]:
    """TRCE's rows: BOS, first EOT and last position to their like, the concept's own tokens to the target's last.

    `ends` are the rows of the first EOT in the prompt and in the one with the target: true tokens, where the authors'
    code counts words between spaces and so misses when a word has several tokens.
    """
    inside = np.arange(at.first, at.end)
    final, aim = total - 1, (total if other is None else other) - 1
    sources = np.concatenate([[0], inside, [ends[0]], [final] if ends[0] < final else []]).astype(np.int64)
    counterparts = np.concatenate([[0], np.full(len(inside), aim), [ends[1]], [aim] if ends[0] < final else []])
    return sources, counterparts.astype(np.int64)


def eot_weights(total: int, at: Phrase, end: int, scale: TokenWeights) -> Array:
    """How much each row (t,) of TRCE's counts: one, but the last position as much as all the padding it stands for.

    `end` is the row of the first EOT; each anchor's weight is multiplied by its entry in `scale`. Every token of the
    concept counts, where the authors' code takes the first and leaves the rest out.
    """
    weights = np.zeros(total)
    weights[at.first : at.end] = scale.keyword
    weights[-1] = scale.last * (total - 1 - end)
    weights[0], weights[end] = scale.bos, scale.eot
    return weights


def _within(at: Phrase, target: Phrase) -> Rows:
    count, width = at.end - at.first, target.end - target.first
    if width == 0:
        return np.full(count, target.first, dtype=np.int64)
    return target.first + np.rint(np.linspace(0 if count > 1 else width - 1, width - 1, count)).astype(np.int64)
