"""Latents on the way of the unedited model's own pictures, from noise to picture, guided by each sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from editc.core.ports import Diffusion
from editc.passes.images.diffusion.sampling import denoise
from editc.passes.images.schemes.feeds.conditions import Conditions, concept_conditions, preserved_conditions
from editc.passes.images.schemes.pool import Pool
from editc.passes.images.schemes.subject import Subject
from editc.passes.training.factors import Factors

CONCEPT_STEPS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12)
"""Of 25 steps those whose latents train a concept: it is settled in the first half of a picture."""
KEPT_STEPS = tuple(range(0, 24, 2))
"""Of 25 steps those whose latents hold what must stay: all along the way."""

PAINTED: Mapping[str, str] = {"concept": "own", "target": "target"}
"""Whose pictures -> the condition that they are painted by."""


@dataclass(frozen=True)
class Trajectories:
    """A pool that is filled once, at the start, by the unedited model."""

    of: Literal["concept", "target", "preserved"]
    """Whose pictures: of the concept's sentences, by the listed names in turn; of the same with the target in the
    concept's place; or of preserved prompts."""
    sentences: int
    """How many."""
    each: bool = False
    """True: as many of each listed name, so that no name has a context that another lacks."""
    pools: dict[str, Pool] = field(default_factory=dict, compare=False, repr=False)
    """Concept -> its pool, once it is made."""

    def draw(
        self, model: Diffusion, factors: Factors, subject: Subject, count: int, generator: Any
    ) -> tuple[Pool, Any]:
        """The pool, and numbers of latents drawn evenly."""
        import torch

        pool = self.pool(model, subject)
        return pool, torch.randint(len(pool), (count,), generator=generator)

    def pool(self, model: Diffusion, subject: Subject) -> Pool:
        """The pool of a subject."""
        if subject.concept not in self.pools:
            make = partial(concept_pool, painted=PAINTED.get(self.of, "own"), each=self.each)
            fill = preserved_pool if self.of == "preserved" else make
            self.pools[subject.concept] = fill(model, subject, self.sentences)
        return self.pools[subject.concept]


def concept_pool(model: Diffusion, subject: Subject, count: int, painted: str = "own", each: bool = False) -> Pool:
    """A pool of the concept's sentences, at latents of pictures of the condition `painted`. `each` name has as many."""
    told = concept_conditions(model, subject, count, each)
    return _walk(model, subject, told, subject.pictures_seeds(len(told.prompts["own"]), 0), CONCEPT_STEPS, painted)


def preserved_pool(model: Diffusion, subject: Subject, count: int) -> Pool:
    """A pool of preserved prompts."""
    told = preserved_conditions(model, subject, count)
    return _walk(model, subject, told, subject.pictures_seeds(len(told.prompts["own"]), 1), KEPT_STEPS)


def _walk(
    model: Diffusion,
    subject: Subject,
    told: Conditions,
    seeds: Sequence[int],
    wanted: Sequence[int],
    painted: str = "own",
) -> Pool:
    """Paint each sentence, and keep the latents before the steps `wanted`, counted as of 25."""
    import torch

    steps = {round(one * subject.steps / 25) for one in wanted}
    seen: dict[int, list[Any]] = {}
    times = list(model.timesteps(subject.steps))

    def watch(latents: Any, time: int) -> None:
        if times.index(time) in steps:
            seen.setdefault(time, []).append(latents)

    denoise(model, told.rows[painted], seeds, subject.steps, subject.guidance, watch=watch)
    kept = [(time, torch.cat(parts)) for time, parts in seen.items()]
    latents = torch.cat([part for _, part in kept])
    when = torch.cat([torch.full((len(part),), time) for time, part in kept])
    number = torch.arange(len(seeds)).repeat(len(kept))
    return Pool(latents, when, number, told.rows, told.prompts, subject.names)
