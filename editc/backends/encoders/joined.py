"""Encoders combined as pipelines combine them: side by side, or through the model's own projection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from editc.core.diagnostics import fail
from editc.core.ir import Array
from editc.core.ports import Encoded, Encoder, Weights
from editc.numerics import trust
from editc.numerics.trust import Ball


@dataclass(frozen=True)
class JoinedEncoder:
    """Encoders that read the same tokens, their rows side by side along the width: (t, d_1 + d_2 + ...)."""

    encoders: tuple[Encoder, ...]

    def encode(self, prompts: Sequence[str]) -> Sequence[Encoded]:
        """Each prompt's rows in order. Raises E331 when the tokenizers cut a prompt differently."""
        return [_join(parts) for parts in zip(*(one.encode(prompts) for one in self.encoders), strict=True)]

    def fingerprint(self) -> str:
        """That of all encoders together, which each of them carries."""
        return self.encoders[0].fingerprint()

    def bounds(self) -> tuple[Ball, ...]:
        """Those of all encoders, in the order of their rows."""
        return tuple(ball for one in self.encoders for ball in one.bounds())


@dataclass(frozen=True)
class ProjectedEncoder:
    """Rows as they leave a two-layer projection with a GELU (its tanh form) between: what every block then reads.

    first, second: W (d_hidden, d) and b (d_hidden,), W (d_out, d_hidden) and b (d_out,).
    """

    encoder: Encoder
    first: tuple[Array, Array]
    second: tuple[Array, Array]

    @staticmethod
    def from_weights(encoder: Encoder, weights: Weights, prefix: str) -> ProjectedEncoder:
        """The projection whose parameters begin with `prefix`: `linear_1` and `linear_2`."""
        first, second = (
            (weights.read(f"{prefix}.{name}.weight"), weights.read(f"{prefix}.{name}.bias"))
            for name in ("linear_1", "linear_2")
        )
        return ProjectedEncoder(encoder, first, second)

    def encode(self, prompts: Sequence[str]) -> Sequence[Encoded]:
        """Each prompt's projected rows in order."""
        return [replace(one, rows=self._project(one.rows)) for one in self.encoder.encode(prompts)]

    def fingerprint(self) -> str:
        """That of the encoder before the projection."""
        return self.encoder.fingerprint()

    def bounds(self) -> tuple[Ball, ...]:
        """None is known behind the GELU: to be measured."""
        return (trust.unbounded_ball(len(self.second[1])),)

    def _project(self, rows: Array) -> Array:
        hidden = rows @ self.first[0].T + self.first[1]
        hidden = 0.5 * hidden * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (hidden + 0.044715 * hidden**3)))
        return np.asarray(hidden @ self.second[0].T + self.second[1])


def _join(parts: Sequence[Encoded]) -> Encoded:
    first = parts[0]
    for other in parts[1:]:
        if (other.start, other.end) != (first.start, first.end):
            raise fail(
                "E331",
                f"the model's tokenizers cut `{first.prompt}` into different tokens",
                help="rows of two encoders stand side by side only for equal tokens: use the pipeline's own tokenizers",
            )
    return replace(first, rows=np.hstack([part.rows for part in parts]))
