"""Latents on the way of the edited model's own pictures, to a random step: what ESD and its kin train on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from editc.core.ports import Diffusion
from editc.passes.images.diffusion.sampling import denoise
from editc.passes.images.schemes.factors import Factors
from editc.passes.images.schemes.feeds.conditions import concept_rows
from editc.passes.images.schemes.pool import Pool
from editc.passes.images.schemes.subject import Subject


@dataclass(frozen=True)
class Sampled:
    """Each draw paints the concept's sentences with the edited model, up to one random step."""

    sentences: int
    """How many sentences are drawn from."""
    rows: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Concept -> rows by condition, once they are made."""

    def draw(
        self, model: Diffusion, factors: Factors, subject: Subject, count: int, generator: Any
    ) -> tuple[Pool, Any]:
        """A new pool of `count` latents, and all their numbers."""
        import torch

        if subject.concept not in self.rows:
            self.rows[subject.concept] = concept_rows(model, subject, self.sentences)
        rows = self.rows[subject.concept]
        sentence = torch.randint(self.sentences, (count,), generator=generator)
        seeds = torch.randint(2**31, (count,), generator=generator).tolist()
        stop = int(torch.randint(subject.steps, (1,), generator=generator))
        with factors.switched(True):
            told = rows["own"][sentence]
            latents = denoise(model, told, seeds, subject.steps, subject.guidance, stop=stop)
        time = list(model.timesteps(subject.steps))[stop]
        return Pool(latents, torch.full((count,), time), sentence, rows, subject.names), torch.arange(count)
