"""The loss that diffusion models are trained with (Ho et al., NeurIPS 2020, arXiv 2006.11239)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.images.diffusion.sampling import goal_of_noise
from editc.passes.images.schemes.ask import Ask


@dataclass(frozen=True)
class Denoising:
    """mean |v(condition) - goal|^2 at noised pictures, the goal what a perfect network answers."""

    condition: str = "own"
    """The condition that is told, such as `own`."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents and their entries."""
        pool = ask.pool
        goal = goal_of_noise(ask.model, pool.clean[ask.index], pool.times[ask.index], pool.noise[ask.index])
        return (ask.edited(self.condition) - goal).square().mean()
