"""CLIP text encoders: one row for each token, or one pooled row for the prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from editc.backends.encoders.batches import encode_batches
from editc.backends.encoders.tokens import Tokens
from editc.core.family import Take
from editc.core.ports import EncodedPrompt
from editc.numerics.ball import Ball


class TextModel(Protocol):
    """The text model of a CLIP, whatever runs it."""

    @property
    def name(self) -> str:
        """What runs it."""

    @property
    def alone(self) -> bool:
        """True if the rows of a prompt do not depend on the prompts beside it, to the last bit."""

    def rows(self, ids: NDArray[np.int64], seen: NDArray[np.bool_] | None, take: Take) -> NDArray[np.float32]:
        """Rows (n, t, d) of tokens (n, t), or one row (n, d) for each prompt. `seen` (n, t) says which tokens are no
        padding, where the encoder reads that."""

    def bounds(self, take: Take) -> tuple[Ball, ...]:
        """Where its rows lie."""


@dataclass(frozen=True)
class ClipEncoder:
    """One CLIP text encoder of a diffusers folder, read as a `Stream` says.

    It runs in float32 whatever the files hold, so that the same files give the same rows.
    """

    tokenize: Callable[[Sequence[str]], Tokens]
    """Makes tokens of prompts."""
    model: TextModel
    """The text model."""
    digest: str = ""
    """The fingerprint of all text encoders of the model. Empty where the caller needs none."""
    take: Take = "last"
    """Which output is read: see `Stream.take`."""
    masked: bool = False
    """True: padding has no rows, because the edited layers do not see it."""
    attended: bool = False
    """True: the encoder itself reads which tokens are padding."""

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
        """Return the ball of the final LayerNorm, or an unbounded one where something else follows it."""
        return self.model.bounds(self.take)

    def _batch(self, prompts: Sequence[str]) -> Iterator[EncodedPrompt]:
        """Encode one batch, and yield each prompt with its rows, its tokens and their places."""
        tokens = self.tokenize(prompts)
        ids, seen = tokens.ids.tolist(), tokens.seen.sum(1).tolist()
        rows = self.model.rows(tokens.ids, tokens.seen if self.attended else None, self.take).astype(np.float64)
        for index, prompt in enumerate(prompts):
            if self.take == "pooled":
                yield EncodedPrompt(prompt, rows[index : index + 1], (0,), (0,), (len(prompt),), 0, pooled=True)
                continue
            limit = len(ids[index])
            count = seen[index] if self.masked else limit
            start, end = zip(*[_span(a, b) for a, b in tokens.spans[index][:count]], strict=True)
            yield EncodedPrompt(prompt, rows[index, :count], tuple(ids[index][:count]), start, end, 1, limit)


def _span(start: int, end: int) -> tuple[int, int]:
    """Return where a token lies in the prompt; (-1, -1) for a special token."""
    return (start, end) if end > start else (-1, -1)
