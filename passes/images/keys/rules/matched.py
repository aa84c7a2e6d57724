"""`keys: matched`, MACE's first stage (Lu et al., CVPR 2024, arXiv 2403.06135): all rows but the concept's own."""

from __future__ import annotations

from editc.core.delta import Array
from editc.core.ports import EncodedPrompt
from editc.passes.images.keys.rules.aligned import aligned_rows
from editc.passes.images.keys.rules.in_contexts import InContexts
from editc.passes.images.rows.phrases import Phrase, RowNumbers
from editc.passes.images.rows.preserved_rows import CondensedRows

RIDGE = 1.0
"""lambda: MACE has 0 where a corpus is preserved, and so little leaves the same edit, with a G that is regular when few
prompts are."""
SHARE = 2.0
"""How often the preserved prompts count against the edited ones, for sums as MACE takes them: its weight of 1e-4 makes
some 600,000 captions of COCO count as 62, against 30 prompts of a concept."""


class Matched(InContexts):
    """Every row of a sentence but the concept's own goes to its counterpart in the same sentence with the target.

    They hold what the other words picked up of the concept. Rows count one each, edited and preserved.
    """

    def counterparts(
        self, encoded: EncodedPrompt, at: Phrase, other: EncodedPrompt, target: Phrase
    ) -> tuple[RowNumbers, RowNumbers]:
        """See `matched_rows`."""
        return matched_rows(len(encoded.rows), at, target, len(other.rows))

    def edit_divisor(self, weights: Array, prompts: int) -> float:
        """One: a request is a sum over rows."""
        return 1

    def ridge(self, square: float) -> float:
        """See `RIDGE`."""
        return RIDGE

    def preserve_weight(self, edited: int, preserved: int) -> float:
        """So much that all preserved prompts together count `SHARE` times all edited ones."""
        return SHARE * edited / preserved

    def preserved_divisor(self, preserved: CondensedRows) -> float:
        """One: MACE sums over all rows of its corpus."""
        return 1

    def named_divisor(self, named: CondensedRows, base: CondensedRows) -> float:
        """Its prompts, against those of the base list."""
        return named.prompt_count / base.prompt_count


def matched_rows(total: int, at: Phrase, target: Phrase, other: int | None = None) -> tuple[RowNumbers, RowNumbers]:
    """MACE's rows: those of `aligned_rows` outside the phrase, what a prompt's other words picked up of the concept.

    The concept's own tokens are left alone (in MACE, to a LoRA of their own).
    """
    sources, counterparts = aligned_rows(total, at, target, other)
    outside = (sources < at.first) | (sources >= at.end)
    return sources[outside], counterparts[outside]


MATCHED = Matched()
