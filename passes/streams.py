"""What the layers of a group read: the streams of its pipeline, as wide as the layers' input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from editc.ir import Group
from editc.ports import Context, Encoded, Encoder


@dataclass(frozen=True)
class Widened:
    """An encoder whose rows are followed by zeros up to `width`: for layers whose other inputs are not the text."""

    inner: Encoder
    width: int

    def encode(self, prompts: Sequence[str]) -> Sequence[Encoded]:
        """Rows (t, width); rows that are wider already stay as they are, for derive to refuse."""
        return [self._one(encoded) for encoded in self.inner.encode(prompts)]

    def fingerprint(self) -> str:
        """That of the encoder itself."""
        return self.inner.fingerprint()

    def _one(self, encoded: Encoded) -> Encoded:
        missing = max(0, self.width - encoded.rows.shape[1])
        return replace(encoded, rows=np.pad(encoded.rows, ((0, 0), (0, missing))))


def readers(group: Group, ctx: Context, width: int) -> list[Encoder]:
    """The encoders of a group's streams, those that the pipeline has; their rows `width` wide if the group leads."""
    found = [encoder for name in group.streams if (encoder := ctx.stream(name)) is not None]
    return [Widened(encoder, width) for encoder in found] if group.leading else found
