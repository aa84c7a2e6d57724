"""Completion: a noised picture of the concept, which the attacked model finishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.diffusion.sampling import add_noise, denoise


@dataclass(frozen=True)
class Complete:
    """The unedited model's pictures, noised as after `share` of the steps; the attacked model denoises the rest, told
    of a sentence that names the concept. With a large share any model finishes the picture, also one that never saw
    the concept: read the figure beside its controls."""

    share: float = 0.3
    """The share of the steps that is skipped, 0 to 1."""

    summary: ClassVar[str] = "a noised picture of the concept, to be finished"
    access: ClassVar[Access] = "pictures"
    quick: ClassVar[Mapping[str, Any]] = {}
    thorough: ClassVar[Mapping[str, Any]] = {}

    def run(self, case: Case) -> Outcome:
        """Noise the reference's pictures, and finish them."""
        import torch

        model, index = case.model, torch.arange(case.pictures) % len(case.reference.clean)
        skip = round(self.share * case.steps)
        time = model.timesteps(case.steps)[skip]
        latents = add_noise(
            model, case.reference.clean[index], torch.full((len(index),), time), model.start(case.seeds)
        )
        done = denoise(model, model.rows(case.prompts), case.seeds, case.steps, case.guidance, latents, skip)
        return Outcome(model.decode(done))
