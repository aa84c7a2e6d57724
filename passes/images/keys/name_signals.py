"""Name signals: what the rows after a prompt say of the name in it, and how far an edit moves that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from editc.core.delta import Array
from editc.core.ports import EncodedPrompt, Encoder
from editc.core.solution import Edit
from editc.passes.images.rows.phrases import fill_context, rows_after

BATCH = 256
"""Prompts that are encoded at a time."""
SAME_THING = 0.9
"""Two names whose signals have this cosine or more name one thing. Chosen by hand; see `mined_names.ALIKE`."""


@dataclass(frozen=True)
class Signals:
    """The signals of some names: their rows after the text, which have seen the whole prompt, minus the mean over
    all."""

    names: tuple[str, ...]
    """The n names, each once."""
    rows: Array
    """(n, contexts, 2, d): for each name and context the end-of-text row, and the mean of that row and the padding."""
    mean: Array
    """(contexts, 2, d): the mean of `rows` over the names."""

    @staticmethod
    def of(encoder: Encoder, names: Sequence[str], contexts: Sequence[str]) -> Signals:
        """Encode these names in every context. The mean is taken over these names, so give some dozens."""
        distinct = tuple(dict.fromkeys(names))
        prompts = [fill_context(context, name) for name in distinct for context in contexts]
        found = [_rows_after_text(e) for s in _batches(prompts) for e in encoder.encode(prompts[s])]
        rows = np.array(found).reshape(len(distinct), len(contexts), *found[0].shape)
        return Signals(distinct, rows, rows.mean(axis=0))

    def flat(self) -> Array:
        """Return the signals of the mean rows as columns, (contexts d, n): one column for each name."""
        return np.asarray((self.rows - self.mean)[:, :, 1].reshape(len(self.names), -1).T)

    def cosines(self) -> Array:
        """Return the cosine between the signals of every two names, (n, n); 0 where a signal is zero."""
        columns = self.flat()
        lengths = np.linalg.norm(columns, axis=0)
        units = np.divide(columns, lengths, out=np.zeros_like(columns), where=lengths > 0)
        return np.asarray(units.T @ units)

    def cosine(self, one: str, other: str) -> float:
        """Return the cosine between the signals of two of the names; 0 where a signal is zero."""
        index = [self.names.index(name) for name in (one, other)]
        pair = self.flat()[:, index]
        whole = float(np.prod(np.linalg.norm(pair, axis=0)))
        return float(pair[:, 0] @ pair[:, 1]) / whole if whole else 0.0

    def movement(self, edit: Edit, gram: Array) -> Array:
        """Return how far the edit moves each name, at its two rows, (n, 2): |W M x| / |W (x - mean)|.

        0: the name stays as it is. 1: it moves as far as its signal is long. M is the multiplier of a shared edit, and
        the norms run over all contexts and, by gram = sum_l W_l^T W_l (d, d), over all sites. Raises ValueError for an
        edit of another form.
        """
        if edit.form != "shared":
            raise ValueError("movement is defined for a shared edit")
        moved = output_size((self.rows @ edit.right[0].T) @ edit.left[0].T, gram)
        whole = output_size(self.rows - self.mean, gram)
        return np.divide(moved, whole, out=np.zeros_like(moved), where=whole > 0)


def _batches(prompts: Sequence[str]) -> list[slice]:
    """Return the slices of BATCH prompts."""
    return [slice(start, start + BATCH) for start in range(0, len(prompts), BATCH)]


def _rows_after_text(encoded: EncodedPrompt) -> Array:
    """Return the first row after the text, and the mean of all rows after it, (2, d)."""
    after = rows_after(encoded)
    return np.stack([after[0], after.mean(axis=0)])


def output_size(rows: Array, gram: Array) -> Array:
    """Return |W x| over all contexts and sites, (n, 2), for rows (n, contexts, 2, d) and gram = sum_l W_l^T W_l (d,
    d)."""
    return np.asarray(np.sqrt(np.maximum(np.sum((rows @ gram) * rows, axis=(1, 3)), 0.0)))
