"""What the layers of a group read: the streams of its pipeline, as wide as the layers' input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from editc.core.family import Family
from editc.core.ports import Context, EncodedPrompt, Encoder
from editc.numerics.trust import Ball


@dataclass(frozen=True)
class PaddedEncoder:
    """An encoder whose rows are followed by zeros up to a width: for layers whose other inputs are not the text."""

    inner: Encoder
    """The encoder itself."""
    width: int
    """Of the rows that come out."""

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        """Rows (t, width); rows that are wider already stay as they are, for derive to refuse."""
        return [self._one(encoded) for encoded in self.inner.encode(prompts)]

    def fingerprint(self) -> str:
        """That of the encoder itself."""
        return self.inner.fingerprint()

    def bounds(self) -> tuple[Ball, ...]:
        """None: the other inputs of the layer are not the text, and nothing is certified of them."""
        return ()

    def _one(self, encoded: EncodedPrompt) -> EncodedPrompt:
        missing = max(0, self.width - encoded.rows.shape[1])
        return replace(encoded, rows=np.pad(encoded.rows, ((0, 0), (0, missing))))


@dataclass(frozen=True)
class TextStream:
    """One stream of a group: its encoder, and a name for the rows that it makes."""

    encoder: Encoder
    """What makes the rows."""
    mark: str = ""
    """Equal marks mean equal rows. Empty where rows go through a layer of the model first, and
    so depend on more than the text encoders: nothing is cached then."""


def text_streams(family: Family, group: str, ctx: Context, width: int) -> list[TextStream]:
    """The readers of a group's streams, those that the pipeline has; their rows `width` wide if the group leads."""
    leading = family.groups[group].leading
    found = []
    for name in family.groups[group].streams:
        encoder = ctx.stream(name)
        if encoder is not None:
            mark = encoder.fingerprint() and f"{encoder.fingerprint()} {family.name} {name} {width}"
            through = family.streams[name].through
            found.append(TextStream(PaddedEncoder(encoder, width) if leading else encoder, "" if through else mark))
    return found
