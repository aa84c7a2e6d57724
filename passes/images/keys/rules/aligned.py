"""`keys: aligned`, editc's default: every row of a sentence, paired with the corresponding row around the target."""

from __future__ import annotations

import numpy as np

from editc.core.delta import Array
from editc.core.ports import EncodedPrompt
from editc.passes.images.keys.rules.in_contexts import InContexts
from editc.passes.images.rows.phrases import Phrase, RowNumbers
from editc.passes.images.rows.preserved_rows import CondensedRows

RIDGE = 0.01
"""lambda, relative to the mean square of the entries of preserved rows, since weights and moment are means over rows.

With a tenth of it the matrices move two to three times as far, along directions that no preserved prompt uses, and the
concept is hardly erased more (docs/measurements/erasure.md)."""
WEIGHT = 3.0
"""Weight of what is preserved, relative to what is edited; both are means over rows. On the demo model, erasing an
object at weight 1 also loses some of its neighbours; at 3 only the object is gone (docs/measurements/erasure.md)."""


class Aligned(InContexts):
    """Every row of every context with the concept goes to its counterpart in the same context with the target.

    Edited and preserved rows are means, so that neither the number of contexts nor that of prompts changes the edit.
    """

    counts_empty = True

    def counterparts(
        self, encoded: EncodedPrompt, at: Phrase, other: EncodedPrompt, target: Phrase
    ) -> tuple[RowNumbers, RowNumbers]:
        """Pair the rows by `aligned_rows`."""
        return aligned_rows(len(encoded.rows), at, target, len(other.rows))

    def edit_divisor(self, weights: Array, prompts: int) -> float:
        """Return the sum of the weights: a request is a mean over rows."""
        return float(weights.sum())

    def ridge(self, square: float) -> float:
        """Return `RIDGE` times the mean square of the entries of preserved rows."""
        return RIDGE * square

    def preserve_weight(self, edited: int, preserved: int) -> float:
        """Return `WEIGHT`."""
        return WEIGHT

    def preserved_divisor(self, preserved: CondensedRows) -> float:
        """Return the number of rows: a list is a mean over them."""
        return preserved.row_count


def aligned_rows(total: int, at: Phrase, target: Phrase, other: int | None = None) -> tuple[RowNumbers, RowNumbers]:
    """Return the rows of a prompt with the concept, (m,), and for each its row in the prompt with the target, (m,).

    The prompt with the concept at `at` has `total` rows; the same prompt with the target at `target` has `other` rows
    (None: as many). Rows before the phrase match rows before it; rows after it match rows after it, counted from its
    end. Inside, the first row matches the first and the last the last. An empty target has no row: the row after it
    takes its place. Rows without a counterpart, past the end of either prompt, are left out.
    """
    shift = target.end - at.end
    before, after = np.arange(at.first), np.arange(at.end, min(total, (total if other is None else other) - shift))
    sources = np.concatenate([before, np.arange(at.first, at.end), after])
    return sources, np.concatenate([before, _match_inside(at, target), after + shift])


def _match_inside(at: Phrase, target: Phrase) -> RowNumbers:
    """Return the row of the target for each row of the concept, spread evenly from first to last."""
    count, width = at.end - at.first, target.end - target.first
    if width == 0:
        return np.full(count, target.first, dtype=np.int64)
    return target.first + np.rint(np.linspace(0 if count > 1 else width - 1, width - 1, count)).astype(np.int64)


ALIGNED = Aligned()
