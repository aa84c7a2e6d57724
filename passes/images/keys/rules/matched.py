"""`keys: matched`, MACE's first stage (Lu et al., CVPR 2024, arXiv 2403.06135): all rows except the concept's own."""

from __future__ import annotations

from editc.core.delta import Array
from editc.core.ports import EncodedPrompt
from editc.passes.images.keys.rules.aligned import aligned_rows
from editc.passes.images.keys.rules.in_contexts import InContexts
from editc.passes.images.rows.phrases import Phrase, RowNumbers
from editc.passes.images.rows.preserved_rows import CondensedRows

RIDGE = 1.0
"""lambda. MACE uses 0 where it preserves a corpus. This much leaves the edit the same and keeps the system regular
where few prompts are preserved."""
SHARE = 2.0
"""Weight of all preserved prompts relative to all edited ones, both as sums over rows. MACE's weight of 1e-4 makes some
600,000 captions of COCO count as 62, against 30 prompts of a concept: about two to one."""


class Matched(InContexts):
    """Every row of a sentence but the concept's own goes to its counterpart in the same sentence with the target.

    These rows carry what the encoder mixed into them from the concept. All rows, edited and preserved, count 1 each.
    """

    def counterparts(
        self, encoded: EncodedPrompt, at: Phrase, other: EncodedPrompt, target: Phrase
    ) -> tuple[RowNumbers, RowNumbers]:
        """Pair the rows by `matched_rows`."""
        return matched_rows(len(encoded.rows), at, target, len(other.rows))

    def edit_divisor(self, weights: Array, prompts: int) -> float:
        """Return 1: a request is a sum over rows."""
        return 1

    def ridge(self, square: float) -> float:
        """Return `RIDGE`."""
        return RIDGE

    def preserve_weight(self, edited: int, preserved: int) -> float:
        """Return the weight at which all preserved prompts together count `SHARE` times all edited ones."""
        return SHARE * edited / preserved

    def preserved_divisor(self, preserved: CondensedRows) -> float:
        """Return 1: MACE sums over all rows of its corpus."""
        return 1

    def named_divisor(self, named: CondensedRows, base: CondensedRows) -> float:
        """Return the number of named prompts relative to that of the base list."""
        return named.prompt_count / base.prompt_count


def matched_rows(total: int, at: Phrase, target: Phrase, other: int | None = None) -> tuple[RowNumbers, RowNumbers]:
    """Return MACE's rows: those of `aligned_rows` outside the phrase.

    The concept's own tokens are not edited here; MACE trains a LoRA for them.
    """
    sources, counterparts = aligned_rows(total, at, target, other)
    outside = (sources < at.first) | (sources >= at.end)
    return sources[outside], counterparts[outside]


MATCHED = Matched()
