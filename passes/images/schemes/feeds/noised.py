"""Pictures that the unedited model painted, noised to a random timestep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from editc.core.ports import Diffusion
from editc.passes.images.diffusion.sampling import add_noise, denoise
from editc.passes.images.schemes.feeds.conditions import Conditions, concept_conditions, preserved_conditions
from editc.passes.images.schemes.pool import Pool
from editc.passes.images.schemes.subject import Subject
from editc.passes.training.factors import Factors


@dataclass(frozen=True)
class Noised:
    """The pictures are painted once; each draw noises some of them."""

    of: Literal["own", "target", "preserved"]
    """Whose pictures: of the concept's sentences, of the same with the target's name, or of preserved prompts."""
    pictures: int
    """How many."""
    least: float = 0.0
    """The least timestep, as a share of all."""
    most: float = 1.0
    """The timestep that none reaches, as a share of all."""
    painted: dict[str, tuple[Any, Conditions]] = field(default_factory=dict, compare=False, repr=False)
    """Concept -> latents (n, c, h, w) of the pictures, and their sentences, once they are painted."""

    def draw(
        self, model: Diffusion, factors: Factors, subject: Subject, count: int, generator: Any
    ) -> tuple[Pool, Any]:
        """A new pool of `count` latents, and all their numbers."""
        import torch

        if subject.concept not in self.painted:
            self.painted[subject.concept] = self._paint(model, subject)
        clean, told = self.painted[subject.concept]
        sentence = torch.randint(len(clean), (count,), generator=generator)
        low, high = (round(one * len(model.levels)) for one in (self.least, self.most))
        times = torch.randint(low, high, (count,), generator=generator)
        noise = torch.randn(count, *clean.shape[1:], generator=generator)
        latents = add_noise(model, clean[sentence], times, noise)
        pool = Pool(latents, times, sentence, told.rows, told.prompts, subject.names, clean[sentence], noise)
        return pool, torch.arange(count)

    def _paint(self, model: Diffusion, subject: Subject) -> tuple[Any, Conditions]:
        """Paint the pictures with the unedited model."""
        make = preserved_conditions if self.of == "preserved" else concept_conditions
        told = make(model, subject, self.pictures)
        rows = told.rows["target" if self.of == "target" else "own"]
        seeds = subject.pictures_seeds(len(rows), 2 if self.of == "own" else 3)
        return denoise(model, rows, seeds, subject.steps, subject.guidance), told
