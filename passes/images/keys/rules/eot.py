"""`keys: eot`, TRCE's first stage (Chen et al., ICCV 2025, arXiv 2503.07389): the rows that end a text."""

from __future__ import annotations

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Request, TokenWeights
from editc.core.ports import EncodedPrompt
from editc.passes.images.keys.rules.in_contexts import InContexts
from editc.passes.images.rows.phrases import Phrase, RowNumbers, last_text_row
from editc.passes.images.rows.preserved_rows import CondensedRows

RIDGE = 1e-4
"""lambda: TRCE has 0 where a corpus is preserved, and so little leaves the same edit, with a G that is regular when few
prompts are."""
WEIGHT = 0.01
"""Of what is preserved, both sides being means over prompts: TRCE's own for one concept."""


class Eot(InContexts):
    """BOS, the first EOT and the last row of a sentence go to their like in the same sentence with the target.

    The concept's own tokens go to the target's last row. Each of these anchors counts its entry in `token_weights`.
    """

    options = ("token_weights",)

    def counterparts(
        self, encoded: EncodedPrompt, at: Phrase, other: EncodedPrompt, target: Phrase
    ) -> tuple[RowNumbers, RowNumbers]:
        """See `eot_rows`."""
        return eot_rows(len(encoded.rows), at, (_first_end_row(encoded), _first_end_row(other)), len(other.rows))

    def weights(self, encoded: EncodedPrompt, at: Phrase, request: Request) -> Array:
        """See `eot_weights`."""
        return eot_weights(len(encoded.rows), at, _first_end_row(encoded), request.token_weights)

    def edit_divisor(self, weights: Array, prompts: int) -> float:
        """The prompts: a request is a mean over them."""
        return prompts

    def ridge(self, square: float) -> float:
        """See `RIDGE`."""
        return RIDGE

    def preserve_weight(self, edited: int, preserved: int) -> float:
        """See `WEIGHT`."""
        return WEIGHT

    def preserved_divisor(self, preserved: CondensedRows) -> float:
        """Its prompts: TRCE takes a mean over them of the sums over rows."""
        return preserved.prompt_count


def eot_rows(total: int, at: Phrase, ends: tuple[int, int], other: int | None = None) -> tuple[RowNumbers, RowNumbers]:
    """TRCE's rows: BOS, first EOT and last position to their like, the concept's own tokens to the target's last.

    `ends` are the rows of the first EOT in the prompt and in the one with the target: true tokens, where the authors'
    code counts words between spaces and so misses when a word has several tokens.
    """
    inside = np.arange(at.first, at.end)
    final, target = total - 1, (total if other is None else other) - 1
    sources = np.concatenate([[0], inside, [ends[0]], [final] if ends[0] < final else []]).astype(np.int64)
    counterparts = np.concatenate([[0], np.full(len(inside), target), [ends[1]], [target] if ends[0] < final else []])
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


def _first_end_row(encoded: EncodedPrompt) -> int:
    """The row of the first token after the text; of a pooled embedding the one that there is."""
    return min(last_text_row(encoded) + 1, len(encoded.rows) - 1)


EOT = Eot()
