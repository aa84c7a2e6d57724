"""Latents on the way of the edited model's own pictures, to a random step: what ESD and its kin train on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from editc.core.ports import Diffusion
from editc.passes.images.diffusion.sampling import denoise
from editc.passes.images.schemes.feeds.conditions import Conditions, concept_conditions
from editc.passes.images.schemes.pool import Pool
from editc.passes.images.schemes.subject import Subject
from editc.passes.training.factors import Factors


@dataclass(frozen=True)
class Sampled:
    """Each draw paints the concept's sentences with the edited model, up to one random step."""

    sentences: int
    """How many sentences are drawn from."""
    known: dict[str, Conditions] = field(default_factory=dict, compare=False, repr=False)
    """Concept -> its sentences, once they are made."""

    def draw(
        self, model: Diffusion, factors: Factors, subject: Subject, count: int, generator: Any
    ) -> tuple[Pool, Any]:
        """A new pool of `count` latents, and all their numbers."""
        import torch

        if subject.concept not in self.known:
            self.known[subject.concept] = concept_conditions(model, subject, self.sentences)
        told = self.known[subject.concept]
        sentence = torch.randint(self.sentences, (count,), generator=generator)
        seeds = torch.randint(2**31, (count,), generator=generator).tolist()
        stop = int(torch.randint(subject.steps, (1,), generator=generator))
        with factors.switched(True):
            own = [told.prompts["own"][int(one)] for one in sentence]
            rows = model.rows(own) if factors.encodes else told.rows["own"][sentence]
            latents = denoise(model, rows, seeds, subject.steps, subject.guidance, stop=stop)
        time = list(model.timesteps(subject.steps))[stop]
        times = torch.full((count,), time)
        return Pool(latents, times, sentence, told.rows, told.prompts, subject.names), torch.arange(count)
