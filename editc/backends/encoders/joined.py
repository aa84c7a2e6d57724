"""Encoders combined as pipelines combine them: side by side, or through the model's own projection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from editc.core.delta import Array
from editc.core.diagnostics import fail
from editc.core.ports import EncodedPrompt, Encoder, Weights
from editc.numerics.ball import Ball, unbounded_ball


@dataclass(frozen=True)
class JoinedEncoder:
    """Encoders that read the same tokens. Their rows stand side by side along the width: (t, d_1 + d_2 + ...)."""

    encoders: tuple[Encoder, ...]
    """The encoders, in the order of their columns."""

    @property
    def alone(self) -> bool:
        """True if that holds for all of them."""
        return all(one.alone for one in self.encoders)

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        """Return the joined rows of each prompt, in order. Raises E331 where the tokenizers cut a prompt
        differently."""
        return [_join(parts) for parts in zip(*(one.encode(prompts) for one in self.encoders), strict=True)]

    def fingerprint(self) -> str:
        """Return the fingerprint, which covers all encoders of the model and which each of them carries."""
        return self.encoders[0].fingerprint()

    def bounds(self) -> tuple[Ball, ...]:
        """Return the balls of all encoders, in the order of their columns."""
        return tuple(ball for one in self.encoders for ball in one.bounds())


@dataclass(frozen=True)
class ProjectedEncoder:
    """An encoder followed by the model's own projection: two linear layers with a GELU (its tanh form) between.

    All blocks of the model read these projected rows.
    """

    encoder: Encoder
    """The encoder before the projection."""
    first: tuple[Array, Array]
    """W (d_hidden, d) and b (d_hidden,) of the first layer."""
    second: tuple[Array, Array]
    """W (d_out, d_hidden) and b (d_out,) of the second layer."""

    @staticmethod
    def from_weights(encoder: Encoder, weights: Weights, prefix: str) -> ProjectedEncoder:
        """Read the projection from the parameters `PREFIX.linear_1` and `PREFIX.linear_2`."""
        first, second = (
            (weights.read(f"{prefix}.{name}.weight"), weights.read(f"{prefix}.{name}.bias"))
            for name in ("linear_1", "linear_2")
        )
        return ProjectedEncoder(encoder, first, second)

    @property
    def alone(self) -> bool:
        """As the encoder before the projection, which projects each prompt by itself."""
        return self.encoder.alone

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        """Return the projected rows (t, d_out) of each prompt, in order."""
        return [replace(one, rows=self._project(one.rows)) for one in self.encoder.encode(prompts)]

    def fingerprint(self) -> str:
        """Return the fingerprint of the encoder before the projection."""
        return self.encoder.fingerprint()

    def bounds(self) -> tuple[Ball, ...]:
        """Return one unbounded ball: no bound is known behind the GELU, so it must be measured."""
        return (unbounded_ball(len(self.second[1])),)

    def _project(self, rows: Array) -> Array:
        """Project rows (t, d) to (t, d_out)."""
        hidden = rows @ self.first[0].T + self.first[1]
        hidden = 0.5 * hidden * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (hidden + 0.044715 * hidden**3)))
        return np.asarray(hidden @ self.second[0].T + self.second[1])


def _join(parts: Sequence[EncodedPrompt]) -> EncodedPrompt:
    """Put the rows of one prompt side by side. Raises E331 where the tokens differ."""
    first = parts[0]
    for other in parts[1:]:
        if (other.start, other.end) != (first.start, first.end):
            raise fail(
                "E331",
                f"the model's tokenizers cut `{first.prompt}` into different tokens",
                help="both text encoders must read the same tokens: use the pipeline's own tokenizers",
            )
    return replace(first, rows=np.hstack([part.rows for part in parts]))
