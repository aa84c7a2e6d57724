"""A random direction in the residual stream (RMU, Li et al., ICML 2024, arXiv 2403.03218)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.ask import Ask
from editc.passes.sites import layer_of


@dataclass(frozen=True)
class Steer:
    """mean (h - coefficient u)^2 over the entries of h, the stream after the last trained layer at the answers' tokens;
    u a random unit vector with entries above 0."""

    coefficient: float = 20.0
    """How long the goal is."""
    seed: int = 0
    """Where the random vector starts."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the tokens of a row, then over the rows."""
        import torch

        stream = ask.edited_stream(last_layer(ask))
        u = torch.rand(stream.shape[-1], generator=torch.Generator().manual_seed(self.seed))
        return _mean_by_row(ask, (stream - self.coefficient * u / u.norm()).square().mean(-1))


@dataclass(frozen=True)
class StayInStream:
    """mean (h - h_before)^2 over the entries of h, as in `Steer`, at the retained answers' tokens."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the tokens of a row, then over the rows."""
        layer = last_layer(ask)
        return _mean_by_row(ask, (ask.edited_stream(layer) - ask.frozen_stream(layer)).square().mean(-1))


def last_layer(ask: Ask) -> int:
    """The last layer that has factors."""
    return max(layer_of(name) for name in ask.factors.pairs)


def _mean_by_row(ask: Ask, values: Any) -> Any:
    """The mean of values (m,) over the tokens of each answer, then over the answers."""
    rows = ask.batch().rows
    sums = values.new_zeros(len(ask.index)).index_add(0, rows, values)
    return (sums / rows.bincount(minlength=len(ask.index))).mean()
