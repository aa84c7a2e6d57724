"""Prompts that name a concept: how they are spoken, and which token rows the name takes in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from editc.ir import Array
from editc.passes.keys import Phrase
from editc.ports import Encoded, Encoder


class UnspokenError(Exception):
    """A name leaves no token in its prompt; `cut` when the prompt is too long for the encoder."""

    def __init__(self, name: str, encoded: Encoded) -> None:
        super().__init__(name)
        self.name = name
        self.encoded = encoded
        self.cut = encoded.full


@dataclass(frozen=True)
class Book:
    """Prompts with their rows, encoded in one go."""

    entries: Mapping[str, Encoded]

    @staticmethod
    def of(encoder: Encoder, prompts: Iterable[str]) -> Book:
        """The book of these prompts, each encoded once."""
        distinct = list(dict.fromkeys(prompts))
        return Book(dict(zip(distinct, encoder.encode(distinct), strict=True)))

    def find(self, context: str, name: str) -> tuple[Encoded, Phrase]:
        """The prompt's rows and the token rows of `name` in it; UnspokenError if it has none there.

        An empty name takes no rows: the phrase is the gap between the rows before it and after it. Of a pooled
        embedding every name takes the one row.
        """
        encoded = self.entries[spoken(context, name)]
        if encoded.pooled:
            return encoded, Phrase(0, 1)
        if not name:
            before = len(" ".join(context.split("{}")[0].split()))
            gap = encoded.first + sum(0 <= start < before for start in encoded.start)
            return encoded, Phrase(gap, gap)
        begin = context.index("{}")
        places = enumerate(zip(encoded.start, encoded.end, strict=True))
        rows = [row for row, (start, end) in places if start >= 0 and end > begin and start < begin + len(name)]
        if not rows:
            raise UnspokenError(name, encoded)
        return encoded, Phrase(rows[0], rows[-1] + 1)


def spoken(context: str, name: str) -> str:
    """The context with a name in its place; without a name, the sentence closes up over the gap."""
    return context.replace("{}", name) if name else " ".join(context.replace("{}", "").split())


def last_subject(encoded: Encoded) -> int:
    """The row of the last token that stands for text; when there is none 0: BOS, or T5's EOS."""
    return max(0, _last_text(encoded))


def row_weights(encoded: Encoded) -> Array:
    """How much each row (t,) of a prompt counts: a word one, and the rows that pad it to full length one together.

    Padding is three quarters of a short prompt's rows and nearly the same row each time; counted one by one it would
    outvote the words in every mean over rows.
    """
    weights = np.ones(len(encoded.rows))
    padding = slice(_last_text(encoded) + 2, None)
    weights[padding] = 1 / max(1, len(weights[padding]))
    return weights


def _last_text(encoded: Encoded) -> int:
    """The row of the last token of the text, the one before EOS when there is none."""
    return max((row for row, start in enumerate(encoded.start) if start >= 0), default=encoded.first - 1)
