"""`keys: aligned`, ours and the default: every row of a sentence, paired with its like around the target."""

from __future__ import annotations

import numpy as np

from editc.core.delta import Array
from editc.core.ports import EncodedPrompt
from editc.passes.images.keys.rules.in_contexts import InContexts
from editc.passes.images.rows.phrases import Phrase, RowNumbers
from editc.passes.images.rows.preserved_rows import CondensedRows

RIDGE = 0.01
"""lambda, in mean squares of a preserved row's entries: the weights and the moment are means over rows.

A tenth of it moves the matrices two to three times as far, along directions that no preserved prompt uses, and erases
hardly more (docs/measurements/erasure.md)."""
WEIGHT = 3.0
"""Of what is preserved against what is edited, both being means over rows. At 1 an object erased from the demo model
takes some of its neighbours with it, at 3 it does not and is gone all the same (docs/measurements/erasure.md)."""


class Aligned(InContexts):
    """Every row of every context with the concept goes to its counterpart in the same context with the target.

    Edited and preserved rows are means, so that neither the number of contexts nor that of prompts changes the edit.
    """

    counts_empty = True

    def counterparts(
        self, encoded: EncodedPrompt, at: Phrase, other: EncodedPrompt, target: Phrase
    ) -> tuple[RowNumbers, RowNumbers]:
        """See `aligned_rows`."""
        return aligned_rows(len(encoded.rows), at, target, len(other.rows))

    def edit_divisor(self, weights: Array, prompts: int) -> float:
        """All of them: a request is a mean over rows."""
        return float(weights.sum())

    def ridge(self, square: float) -> float:
        """See `RIDGE`."""
        return RIDGE * square

    def preserve_weight(self, edited: int, preserved: int) -> float:
        """See `WEIGHT`."""
        return WEIGHT

    def preserved_divisor(self, preserved: CondensedRows) -> float:
        """Its rows."""
        return preserved.row_count


def aligned_rows(total: int, at: Phrase, target: Phrase, other: int | None = None) -> tuple[RowNumbers, RowNumbers]:
    """Rows of a prompt of `total` tokens that names the concept, and for each its counterpart in the same prompt with
    the target in its place, which has `other` tokens (None: as many).

    Rows before the phrase meet rows before, rows after meet rows after, counted from the phrase's end; inside, first
    meets first and last meets last. A target of no tokens (the concept left out) stands for itself by the row after
    it, the one that a reader of the shorter prompt meets in its place. Rows past either end are dropped.
    """
    shift = target.end - at.end
    before, after = np.arange(at.first), np.arange(at.end, min(total, (total if other is None else other) - shift))
    sources = np.concatenate([before, np.arange(at.first, at.end), after])
    return sources, np.concatenate([before, _match_inside(at, target), after + shift])


def _match_inside(at: Phrase, target: Phrase) -> RowNumbers:
    count, width = at.end - at.first, target.end - target.first
    if width == 0:
        return np.full(count, target.first, dtype=np.int64)
    return target.first + np.rint(np.linspace(0 if count > 1 else width - 1, width - 1, count)).astype(np.int64)


ALIGNED = Aligned()
