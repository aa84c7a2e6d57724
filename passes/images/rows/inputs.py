"""The inputs of edited layers: which text encoders a group of sites reads, and how wide their rows are.

A stream is one such input: the rows of one text encoder, or of a layer behind it. A family names the streams that each
of its groups of sites reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from editc.core.family import Family
from editc.core.ports import Context, EncodedPrompt, Encoder
from editc.numerics.ball import Ball


@dataclass(frozen=True)
class PaddedEncoder:
    """An encoder whose rows are padded with zeros to a width, for layers that also read something else than the
    text."""

    inner: Encoder
    """The encoder of the unpadded rows."""
    width: int
    """Length of a padded row."""

    @property
    def alone(self) -> bool:
        """As the inner encoder."""
        return self.inner.alone

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        """Encode prompts to rows (t, width). Rows that are wider stay as they are, so that derive can refuse them."""
        return [self._one(encoded) for encoded in self.inner.encode(prompts)]

    def fingerprint(self) -> str:
        """Return the fingerprint of the inner encoder."""
        return self.inner.fingerprint()

    def bounds(self) -> tuple[Ball, ...]:
        """Return no balls: the layer's other inputs are not text, so no certificate can be given."""
        return ()

    def _one(self, encoded: EncodedPrompt) -> EncodedPrompt:
        """Pad the rows of one prompt."""
        missing = max(0, self.width - encoded.rows.shape[1])
        return replace(encoded, rows=np.pad(encoded.rows, ((0, 0), (0, missing))))


@dataclass(frozen=True)
class TextStream:
    """One stream that a group of sites reads: its encoder, and a name for the rows that it makes."""

    encoder: Encoder
    """Makes the rows."""
    mark: str = ""
    """Part of cache keys: equal marks mean equal rows for the same prompt. Empty where nothing may be cached, because
    the rows go through a layer of the model first and so depend on more than the text encoders."""


def text_streams(family: Family, group: str, ctx: Context, width: int) -> list[TextStream]:
    """Return the streams that a group of sites reads, those that the pipeline has, in the family's order.

    The rows are padded to `width` where the text is only the first part of the layers' input (`Group.leading`).
    """
    leading = family.groups[group].leading
    found = []
    for name in family.groups[group].streams:
        encoder = ctx.stream(name)
        if encoder is not None:
            mark = encoder.fingerprint() and f"{encoder.fingerprint()} {family.name} {name} {width}"
            through = family.streams[name].through
            found.append(TextStream(PaddedEncoder(encoder, width) if leading else encoder, "" if through else mark))
    return found
