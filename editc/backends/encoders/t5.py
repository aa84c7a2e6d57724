"""T5 encoders: no token stands before the text, EOS ends it, and other tokens may see the padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from editc.backends.encoders.arrays import Floats, Ids, Seen
from editc.backends.encoders.batches import encode_batches
from editc.backends.encoders.tokens import Tokens
from editc.core.ports import EncodedPrompt
from editc.numerics.ball import Ball

Tokenize: TypeAlias = Callable[[Sequence[str], int], Tokens]
"""Makes a number of tokens of each prompt, padding included."""


class T5Model(Protocol):
    """The encoder half of a T5, whatever runs it."""

    @property
    def name(self) -> str:
        """What runs it."""

    @property
    def alone(self) -> bool:
        """True if the rows of a prompt do not depend on the prompts beside it, to the last bit."""

    def rows(self, ids: Ids, seen: Seen | None) -> Sequence[Floats]:
        """The rows (t, d) of each prompt of `ids` (n, t). With `seen` (n, t) tokens see no padding, and rows of padding
        mean nothing or are left out."""

    def bounds(self) -> tuple[Ball, ...]:
        """Where its rows lie."""


@dataclass(frozen=True)
class T5Encoder:
    """The encoder half of a T5, in float32.

    Without `masked` (SD 3, FLUX), words, EOS and padding all see each other. Of the padding, the rows at 1, 2, 4, 8,
    ... after EOS represent the rest. T5 knows positions by logarithmic buckets of distance, so rows between these
    differ little. All 512 rows would be 17 MB for each prompt.
    """

    tokenize: Tokenize
    """Makes tokens of prompts."""
    model: T5Model
    """The encoder, in float32."""
    length: int
    """Tokens that it reads, padding included."""
    digest: str = ""
    """The fingerprint of all text encoders of the model. Empty where the caller needs none."""
    masked: bool = False
    """True (PixArt): neither the encoder nor the edited layers see the padding, so it has no rows."""
    lowered: bool = False
    """True: prompts are stripped and put in lower case, as PixArt's pipeline does."""

    @property
    def alone(self) -> bool:
        """True where each product of the model is of one prompt."""
        return self.model.alone

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        """Return the rows (t, d) of each prompt, in order. Equal prompts are encoded once."""
        return encode_batches(prompts, self._batch)

    def fingerprint(self) -> str:
        """Return the sum that `formats.models.fingerprint` computed when the encoder was loaded."""
        return self.digest

    def bounds(self) -> tuple[Ball, ...]:
        """Return the ball of the final norm."""
        return self.model.bounds()

    def _batch(self, prompts: Sequence[str]) -> Iterator[EncodedPrompt]:
        """Encode one batch, and yield each prompt with its rows, its tokens and their places."""
        texts = [
            to_lower_case(prompt) if self.lowered else (prompt, tuple(range(len(prompt) + 1))) for prompt in prompts
        ]
        tokens = self.tokenize([text for text, _ in texts], self.length)
        rows = self.model.rows(tokens.ids, tokens.seen if self.masked else None)
        ids, seen = tokens.ids.tolist(), tokens.seen.sum(1).tolist()
        for index, (prompt, (_, origin)) in enumerate(zip(prompts, texts, strict=True)):
            count = seen[index]
            kept = list(range(count)) if self.masked else representative_rows(count, self.length)
            start, end = zip(*[_span(tokens.spans[index][row], origin) for row in kept], strict=True)
            spoken = tuple(ids[index][row] for row in kept)
            yield EncodedPrompt(prompt, rows[index][kept].astype(np.float64), spoken, start, end, 0, self.length)


def representative_rows(count: int, length: int) -> list[int]:
    """Return the rows that represent all `length`: the `count` rows of text and EOS, and padding at 1, 2, 4, ... after
    EOS."""
    powers = (1 << power for power in range(length.bit_length()))
    return [*range(count), *(count - 1 + step for step in powers if count - 1 + step < length)]


def to_lower_case(prompt: str) -> tuple[str, tuple[int, ...]]:
    """Strip the prompt and put it in lower case. Also return for each of its characters, and for its end, the place in
    `prompt`."""
    begin = len(prompt) - len(prompt.lstrip())
    text = prompt.strip()
    origin = [begin + place for place, character in enumerate(text) for _ in character.lower()]
    return text.lower(), (*origin, begin + len(text))


def _span(offset: Sequence[int], origin: Sequence[int]) -> tuple[int, int]:
    """Return where a token lies in the prompt; (-1, -1) for EOS and padding. `origin` is that of `to_lower_case`."""
    start, end = offset
    return (origin[start], origin[end]) if end > start else (-1, -1)
