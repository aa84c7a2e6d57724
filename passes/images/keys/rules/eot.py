"""`keys: eot`, TRCE's first stage (Chen et al., ICCV 2025, arXiv 2503.07389): the rows after the text, and BOS."""

from __future__ import annotations

import numpy as np

from editc.core.delta import Array
from editc.core.image_check import TokenWeights
from editc.core.manifest import Request
from editc.core.ports import EncodedPrompt
from editc.passes.images.keys.rules.in_contexts import InContexts
from editc.passes.images.rows.phrases import Phrase, RowNumbers, last_text_row
from editc.passes.images.rows.preserved_rows import CondensedRows

RIDGE = 1e-4
"""lambda. TRCE uses 0 where it preserves a corpus. This little leaves the edit the same and keeps the system regular
where few prompts are preserved."""
WEIGHT = 0.01
"""Weight of what is preserved, relative to what is edited, both as means over prompts: TRCE's value for one concept."""


class Eot(InContexts):
    """BOS, the first EOT and the last row of a sentence go to the same rows of that sentence with the target.

    The concept's own tokens go to the last row of the target's sentence. Each of these rows counts by its entry in
    `token_weights`. EOT: the end-of-text token.
    """

    options = ("token_weights",)

    def counterparts(
        self, encoded: EncodedPrompt, at: Phrase, other: EncodedPrompt, target: Phrase
    ) -> tuple[RowNumbers, RowNumbers]:
        """Pair the rows by `eot_rows`."""
        return eot_rows(len(encoded.rows), at, (_first_end_row(encoded), _first_end_row(other)), len(other.rows))

    def weights(self, encoded: EncodedPrompt, at: Phrase, request: Request) -> Array:
        """Weigh the rows (t,) by `eot_weights`, with the `token_weights` of the request."""
        return eot_weights(len(encoded.rows), at, _first_end_row(encoded), request.token_weights)

    def edit_divisor(self, weights: Array, prompts: int) -> float:
        """Return the number of prompts: a request is a mean over them."""
        return prompts

    def ridge(self, square: float) -> float:
        """Return `RIDGE`."""
        return RIDGE

    def preserve_weight(self, edited: int, preserved: int) -> float:
        """Return `WEIGHT`."""
        return WEIGHT

    def preserved_divisor(self, preserved: CondensedRows) -> float:
        """Return the number of prompts: TRCE takes the mean over prompts of sums over rows."""
        return preserved.prompt_count


def eot_rows(total: int, at: Phrase, ends: tuple[int, int], other: int | None = None) -> tuple[RowNumbers, RowNumbers]:
    """Return TRCE's rows (m,) and the target row (m,) of each.

    BOS, the first EOT and the last row match those of the target's prompt; the concept's own tokens match its last row.
    `total` and `other` are the numbers of rows of the two prompts, `ends` the rows of their first EOT. These count
    tokens; the authors' code counts words, and so finds the wrong row where a word has several tokens.
    """
    inside = np.arange(at.first, at.end)
    final, target = total - 1, (total if other is None else other) - 1
    sources = np.concatenate([[0], inside, [ends[0]], [final] if ends[0] < final else []]).astype(np.int64)
    counterparts = np.concatenate([[0], np.full(len(inside), target), [ends[1]], [target] if ends[0] < final else []])
    return sources, counterparts.astype(np.int64)


def eot_weights(total: int, at: Phrase, end: int, scale: TokenWeights) -> Array:
    """Return how much each of the `total` rows counts, (t,): 1, but the last row counts for all the padding.

    `end` is the row of the first EOT. Each weight is multiplied by the entry of its row in `scale`. Every token of the
    concept counts; the authors' code takes only the first.
    """
    weights = np.zeros(total)
    weights[at.first : at.end] = scale.keyword
    weights[-1] = scale.last * (total - 1 - end)
    weights[0], weights[end] = scale.bos, scale.eot
    return weights


def _first_end_row(encoded: EncodedPrompt) -> int:
    """Return the row of the first token after the text; the only row of a pooled embedding."""
    return min(last_text_row(encoded) + 1, len(encoded.rows) - 1)


EOT = Eot()
