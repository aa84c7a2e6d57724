"""Prompts that name a concept: putting the name into a context, and finding the rows of its tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.ports import EncodedPrompt, Encoder

RowNumbers: TypeAlias = NDArray[np.int64]
"""Indices of rows in a prompt, (m,)."""


@dataclass(frozen=True)
class Phrase:
    """The rows of a concept's tokens in an encoded prompt, as a half-open range."""

    first: int
    """The row of its first token."""
    end: int
    """The row after its last token; equal to `first` where the concept has no tokens."""


class MissingTokensError(Exception):
    """Raised where a prompt lacks tokens of a name: all of them, or those that the encoder cut off.

    `name` is the name, `encoded` the prompt. `cut` is True where the prompt is too long for the encoder.
    """

    def __init__(self, name: str, encoded: EncodedPrompt) -> None:
        super().__init__(name)
        self.name = name
        self.encoded = encoded
        self.cut = encoded.full


@dataclass(frozen=True)
class PromptLookup:
    """Encoded prompts, to look up by context and name."""

    entries: Mapping[str, EncodedPrompt]
    """Prompt -> its rows and tokens."""

    @staticmethod
    def encode(encoder: Encoder, prompts: Iterable[str]) -> PromptLookup:
        """Encode these prompts in one call, each once."""
        distinct = list(dict.fromkeys(prompts))
        return PromptLookup(dict(zip(distinct, encoder.encode(distinct), strict=True)))

    def find(self, context: str, name: str) -> tuple[EncodedPrompt, Phrase]:
        """Return the context with `name` in it, encoded, and the rows of the name's tokens.

        An empty name has no rows: its phrase is the empty range between its neighbours. A pooled embedding has one
        row, which is every name's. Raises MissingTokensError if tokens of the name are missing.
        """
        encoded = self.entries[fill_context(context, name)]
        if encoded.pooled:
            return encoded, Phrase(0, 1)
        if not name:
            before = len(" ".join(context.split("{}")[0].split()))
            gap = encoded.first + sum(0 <= start < before for start in encoded.start)
            return encoded, Phrase(gap, gap)
        begin = context.index("{}")
        places = enumerate(zip(encoded.start, encoded.end, strict=True))
        rows = [row for row, (start, end) in places if start >= 0 and end > begin and start < begin + len(name)]
        if not rows or (encoded.full and max(encoded.end) < begin + len(name.rstrip())):
            raise MissingTokensError(name, encoded)
        return encoded, Phrase(rows[0], rows[-1] + 1)


def fill_context(context: str, name: str) -> str:
    """Put a name into a context, in place of `{}`. An empty name leaves no gap: spaces around it become one."""
    return context.replace("{}", name) if name else " ".join(context.replace("{}", "").split())


def last_text_row(encoded: EncodedPrompt) -> int:
    """Return the row of the prompt's last text token.

    For a prompt without text it is 0: the row of BOS, or T5's EOS.
    """
    return max(0, _last_text(encoded))


def rows_after(encoded: EncodedPrompt) -> Array:
    """Return the rows (m, d) after the text: end of text and padding.

    Where the text fills the encoder to its end, the one row is the last row.
    """
    return encoded.rows[min(last_text_row(encoded) + 1, len(encoded.rows) - 1) :]


def row_kinds(encoded: EncodedPrompt, at: Phrase) -> tuple[str, ...]:
    """Say of each row (t,) where it is:

    `before` the phrase (BOS too), `in` it, `after` it, `end` of text, `padding`.
    """
    end = last_text_row(encoded) + 1
    kinds = [(at.first, "before"), (at.end, "in"), (end, "after"), (end + 1, "end"), (len(encoded.rows), "padding")]
    return tuple(next(kind for limit, kind in kinds if row < limit) for row in range(len(encoded.rows)))


def _last_text(encoded: EncodedPrompt) -> int:
    """Return the row of the last text token; the row before the first possible one where there is no text."""
    return max((row for row, start in enumerate(encoded.start) if start >= 0), default=encoded.first - 1)
