"""SafeGen (Li et al., CCS 2024, arXiv 2404.06666): see a mosaic where the concept is, whatever the text says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.images.diffusion.sampling import goal_of_noise
from editc.passes.images.schemes.ask import Ask


@dataclass(frozen=True)
class Mosaic:
    """mean |v(empty) - goal(mosaic of the picture)|^2 at noised pictures of the concept, asked without text.

    For a model that predicts noise the published goal is noise + picture - mosaic, in latents; here it is what a
    perfect network answers if the mosaic is the clean picture: noise + (picture - mosaic) sqrt(a / (1 - a)).
    """

    cells: int = 4
    """The mosaic has `cells` x `cells` cells, each of the mean of its latents."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents and their entries."""
        from torch.nn import functional

        pool, times = ask.pool, ask.pool.times[ask.index]
        clean, noise = pool.clean[ask.index], pool.noise[ask.index]
        mosaic = functional.interpolate(functional.adaptive_avg_pool2d(clean, self.cells), clean.shape[-2:])
        level = ask.model.levels[times][:, None, None, None]
        seen = noise + (clean - mosaic) * (level / (1 - level)).sqrt()
        return (ask.edited("empty") - goal_of_noise(ask.model, mosaic, times, seen)).square().mean()
