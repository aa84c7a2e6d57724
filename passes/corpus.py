"""What is kept: which prompts, and their second moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from editc.ir import Array, Kept
from editc.passes.phrases import row_weights, spoken
from editc.ports import Encoded
from editc.request import Manifest

STACKED = 16


def prompts(manifest: Manifest, contexts: Sequence[str], corpus: Sequence[str]) -> tuple[str, ...]:
    """Every preserved prompt once: concepts through the contexts, prompts as they stand, files; else the corpus.

    A prompt that names an edited concept is left out: what is erased is not kept.
    """
    preserve = manifest.preserve
    asked = [spoken(context, concept) for concept in preserve.concepts for context in contexts]
    asked += [*preserve.prompts, *manifest.kept]
    edited = [name for request in manifest.edits if request.kind != "moderate" for name in request.names]
    return tuple(dict.fromkeys(p for p in asked or corpus if not any(mentions(p, name) for name in edited)))


def mentions(prompt: str, name: str) -> bool:
    """True if the words of `name` stand together in `prompt`, whatever the case."""
    words, sought = _words(prompt), _words(name)
    return bool(sought) and any(words[i : i + len(sought)] == sought for i in range(len(words) - len(sought) + 1))


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()


def mean_moment(encoded: Sequence[Encoded]) -> Array:
    """The second moment (d, d) of all rows, a mean over rows by their weights; some prompts are stacked at a time."""
    total, count = np.zeros((encoded[0].rows.shape[1],) * 2), 0.0
    for start in range(0, len(encoded), STACKED):
        part = encoded[start : start + STACKED]
        weights = np.concatenate([row_weights(e) for e in part])
        rows = np.vstack([e.rows for e in part]) * np.sqrt(weights)[:, None]
        total += rows.T @ rows
        count += float(weights.sum())
    return total / count


def total_moment(rows: Sequence[Array]) -> Array:
    """The sum of c c^T over rows (t, d) of every prompt given, (d, d)."""
    stacked = np.vstack(rows)
    return np.asarray(stacked.T @ stacked)


def kept(moment: Array, encoded: Sequence[Encoded], empty: Encoded) -> Kept:
    """A Kept whose drift is measured on every row of `encoded` (of the empty prompt when there is none)."""
    rows = np.vstack([e.rows for e in encoded]) if encoded else empty.rows
    return Kept(moment, rows.T, empty.rows.T, tuple(e.prompt for e in encoded))
