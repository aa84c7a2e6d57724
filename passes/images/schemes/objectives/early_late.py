"""ANT (Li et al., arXiv 2504.12782): turn away from the concept late on the way, and keep the way's beginning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.images.schemes.ask import Ask
from editc.passes.images.schemes.divergences.mse import MeanSquare


@dataclass(frozen=True)
class EarlyLate:
    """mean |v(concept) - (e + g (c - e))|^2, c and e the unedited answers to concept and empty prompt. g is `guidance`
    before the turn, so that the layout of a picture stays, and -`guidance` after it."""

    guidance: float = 1.0
    """The strength of the guidance, either way."""
    turn: float = 0.85
    """The timestep of the turn, as a share of all: published for step 7 of 50."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents."""
        import torch

        empty, concept = ask.frozen("empty"), ask.frozen()
        late = ask.pool.times[ask.index] < self.turn * len(ask.model.levels)
        sign = torch.where(late, -self.guidance, self.guidance)[:, None, None, None]
        return MeanSquare()(ask.edited(), empty + sign * (concept - empty)).mean()
