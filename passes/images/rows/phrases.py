"""Prompts that name a concept: how they are spoken, and which token rows the name takes in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.ports import EncodedPrompt, Encoder

RowNumbers: TypeAlias = NDArray[np.int64]
"""Numbers of rows in a prompt, (m,)."""


@dataclass(frozen=True)
class Phrase:
    """Where a concept stands in an encoded prompt."""

    first: int
    """The first of its rows."""
    end: int
    """The row after its last one; equal to `first` where the concept has no rows."""


class MissingTokensError(Exception):
    """A name leaves no token in its prompt, or not all of them; `cut` when the prompt is too long for the encoder."""

    def __init__(self, name: str, encoded: EncodedPrompt) -> None:
        super().__init__(name)
        self.name = name
        self.encoded = encoded
        self.cut = encoded.full


@dataclass(frozen=True)
class EncodedPrompts:
    """Prompts with their rows, encoded in one go."""

    entries: Mapping[str, EncodedPrompt]
    """Prompt -> what the encoder makes of it."""

    @staticmethod
    def encode(encoder: Encoder, prompts: Iterable[str]) -> EncodedPrompts:
        """The book of these prompts, each encoded once."""
        distinct = list(dict.fromkeys(prompts))
        return EncodedPrompts(dict(zip(distinct, encoder.encode(distinct), strict=True)))

    def find(self, context: str, name: str) -> tuple[EncodedPrompt, Phrase]:
        """The prompt's rows and the token rows of `name` in it; UnspokenError if it has none there.

        An empty name takes no rows: the phrase is the gap between the rows before it and after it. Of a pooled
        embedding every name takes the one row.
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
    """The context with a name in its place; without a name, the sentence closes up over the gap."""
    return context.replace("{}", name) if name else " ".join(context.replace("{}", "").split())


def last_text_row(encoded: EncodedPrompt) -> int:
    """The row of the last token that stands for text; when there is none 0: BOS, or T5's EOS."""
    return max(0, _last_text(encoded))


def rows_after(encoded: EncodedPrompt) -> Array:
    """The rows (m, d) from the first after the text on: end of text and padding. Of a prompt that fills the encoder to
    its end, the last row."""
    return encoded.rows[min(last_text_row(encoded) + 1, len(encoded.rows) - 1) :]


def row_kinds(encoded: EncodedPrompt, at: Phrase) -> tuple[str, ...]:
    """What each row (t,) is to the phrase: `before` it (BOS too), `in` it, `after` it, `end` of text, or `padding`."""
    end = last_text_row(encoded) + 1
    kinds = [(at.first, "before"), (at.end, "in"), (end, "after"), (end + 1, "end"), (len(encoded.rows), "padding")]
    return tuple(next(kind for limit, kind in kinds if row < limit) for row in range(len(encoded.rows)))


def _last_text(encoded: EncodedPrompt) -> int:
    """The row of the last token of the text, the one before EOS when there is none."""
    return max((row for row, start in enumerate(encoded.start) if start >= 0), default=encoded.first - 1)
