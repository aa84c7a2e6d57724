"""The prompts that are preserved, and their rows condensed to a small matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Manifest
from editc.core.ports import EncodedPrompt, Encoder
from editc.core.text import mentions
from editc.numerics.subspace import condense
from editc.passes.images.rows.phrases import fill_context, last_text_row

WhichRows: TypeAlias = Literal["all", "last"]
"""The rows of a prompt that count: all of them, or that of the last text token."""


@dataclass(frozen=True)
class PreservedPrompts:
    """The two lists of preserved prompts.

    A prompt stands once in a list; prompts that name an edited concept in neither.
    """

    default: tuple[str, ...]
    """The default list: the model's own prompts, or everyday prompts and the words that the model knows."""
    named: tuple[str, ...]
    """What the manifest names under `preserve`: its concepts in every context, its prompts, the lines of its files."""


def preserved_prompts(manifest: Manifest, contexts: Sequence[str], corpus: Sequence[str]) -> PreservedPrompts:
    """Make both lists for a manifest, without the prompts that name an edited concept. `corpus` is the default list."""
    preserve = manifest.preserve
    asked = [fill_context(context, concept) for concept in preserve.concepts for context in contexts]
    asked += [*preserve.prompts, *manifest.preserve_lines]
    edited = [name for request in manifest.image_edits if request.kind != "moderate" for name in request.names]
    return PreservedPrompts(_drop_edited(corpus, edited), _drop_edited(asked, edited))


def _drop_edited(listed: Sequence[str], edited: Sequence[str]) -> tuple[str, ...]:
    """Return the prompts that mention none of the edited names, each once."""
    return tuple(dict.fromkeys(p for p in listed if not any(mentions(p, name) for name in edited)))


@dataclass(frozen=True)
class CondensedRows:
    """The rows of a list of prompts, condensed: at most d columns, however long the list is."""

    rows: Array
    """(d, k), k at most d: condensed so that |X rows| (Frobenius) is that of all `row_count` rows, for every X."""
    row_count: int
    """The number of rows before condensing."""
    prompt_count: int
    """The number of prompts."""

    def __add__(self, other: CondensedRows) -> CondensedRows:
        """Condense both lists together."""
        rows = condense(np.hstack([self.rows, other.rows]))
        return CondensedRows(rows, self.row_count + other.row_count, self.prompt_count + other.prompt_count)

    @property
    def outer_sum(self) -> Array:
        """sum c c^T over all rows, (d, d)."""
        return np.asarray(self.rows @ self.rows.T)

    @property
    def mean_square(self) -> float:
        """The mean square of the entries of all rows."""
        return float(np.sum(self.rows**2) / (self.row_count * len(self.rows)))


def list_rows(listed: Sequence[str], encoder: Encoder, which: WhichRows = "all") -> Array:
    """Return the rows (d, n) of these prompts one by one, a column each, in the order of the prompts."""
    return stack_rows(encoder.encode(listed), which).T


def condense_encoded(encoded: Sequence[EncodedPrompt], which: WhichRows = "all") -> CondensedRows:
    """Condense the rows of prompts that are encoded already."""
    rows = stack_rows(encoded, which)
    return CondensedRows(condense(rows.T), len(rows), len(encoded))


def stack_rows(encoded: Sequence[EncodedPrompt], which: WhichRows) -> Array:
    """Return the rows (n, d) that count, of all prompts one below the other."""
    return np.vstack([one.rows[_select(one, which)] for one in encoded])


def _select(encoded: EncodedPrompt, which: WhichRows) -> slice:
    """Return which rows of a prompt count."""
    at = last_text_row(encoded)
    return slice(None) if which == "all" else slice(at, at + 1)
