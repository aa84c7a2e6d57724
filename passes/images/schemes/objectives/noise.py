"""Few-shot unlearning (Fuchi and Takagi, arXiv 2405.07288): be wrong about the noise in pictures of the concept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.images.diffusion.sampling import goal_of_noise
from editc.passes.images.schemes.ask import Ask


@dataclass(frozen=True)
class WrongNoise:
    """-mean |v(concept) - goal|^2, the goal what a perfect network answers. It has no lower bound, so few steps."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents and their entries."""
        pool = ask.pool
        goal = goal_of_noise(ask.model, pool.clean[ask.index], pool.times[ask.index], pool.noise[ask.index])
        return -(ask.edited() - goal).square().mean()
