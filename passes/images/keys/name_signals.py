"""Names as the edited layers see them after the last word of a prompt, and how far an edit moves each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from editc.core.delta import Array
from editc.core.ports import EncodedPrompt, Encoder
from editc.core.solution import Edit
from editc.passes.images.rows.phrases import fill_context, rows_after

BATCH = 256
SAME_THING = 0.9
"""Two names whose signals have this cosine or more are names of one thing."""


@dataclass(frozen=True)
class Signals:
    """How the edited layers see names: by the rows after a prompt, which have seen all of it.

    A name's signal is its rows less what all names share.
    """

    names: tuple[str, ...]
    """n names."""
    rows: Array
    """(n, contexts, 2, d): the end-of-text row of each, and the mean of that and the padding, in each context."""
    mean: Array
    """(contexts, 2, d): what the names share."""

    @staticmethod
    def of(encoder: Encoder, names: Sequence[str], contexts: Sequence[str]) -> Signals:
        """The signals of these names, their mean taken over all of them: give some dozens."""
        distinct = tuple(dict.fromkeys(names))
        prompts = [fill_context(context, name) for name in distinct for context in contexts]
        found = [_rows_after_text(e) for s in _batches(prompts) for e in encoder.encode(prompts[s])]
        rows = np.array(found).reshape(len(distinct), len(contexts), *found[0].shape)
        return Signals(distinct, rows, rows.mean(axis=0))

    def flat(self) -> Array:
        """The signals at the mean rows, a column a name: (contexts d, n)."""
        return np.asarray((self.rows - self.mean)[:, :, 1].reshape(len(self.names), -1).T)

    def cosines(self) -> Array:
        """Between the signals of every two names, (n, n); 0 for a name that says nothing."""
        columns = self.flat()
        lengths = np.linalg.norm(columns, axis=0)
        units = np.divide(columns, lengths, out=np.zeros_like(columns), where=lengths > 0)
        return np.asarray(units.T @ units)

    def cosine(self, one: str, other: str) -> float:
        """Between the signals of two of the names."""
        index = [self.names.index(name) for name in (one, other)]
        pair = self.flat()[:, index]
        whole = float(np.prod(np.linalg.norm(pair, axis=0)))
        return float(pair[:, 0] @ pair[:, 1]) / whole if whole else 0.0

    def movement(self, edit: Edit, gram: Array) -> Array:
        """|W M x| / |W (x - mean)| of every name at its two rows, (n, 2): of what sets it apart, the part that moves.

        Root mean square over contexts, over all sites at once through gram = sum_l W_l^T W_l (d, d). M is the
        multiplier of a shared edit: any other form is a ValueError. 0 is a name that stays as it is.
        """
        if edit.form != "shared":
            raise ValueError("movement is defined for a shared edit")
        moved = output_size((self.rows @ edit.right[0].T) @ edit.left[0].T, gram)
        whole = output_size(self.rows - self.mean, gram)
        return np.divide(moved, whole, out=np.zeros_like(moved), where=whole > 0)


def _batches(prompts: Sequence[str]) -> list[slice]:
    return [slice(start, start + BATCH) for start in range(0, len(prompts), BATCH)]


def _rows_after_text(encoded: EncodedPrompt) -> Array:
    """(2, d): the first row after the text and the mean of all of them."""
    after = rows_after(encoded)
    return np.stack([after[0], after.mean(axis=0)])


def output_size(rows: Array, gram: Array) -> Array:
    """|W x| over contexts, for rows (n, contexts, 2, d): (n, 2)."""
    return np.asarray(np.sqrt(np.maximum(np.sum((rows @ gram) * rows, axis=(1, 3)), 0.0)))
