"""Sentences alone, for objectives on the rows of the text encoder: no latents, and no picture is painted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from editc.core.ports import Diffusion
from editc.passes.images.schemes.feeds.conditions import concept_conditions, preserved_conditions
from editc.passes.images.schemes.pool import Pool
from editc.passes.images.schemes.subject import Subject
from editc.passes.training.factors import Factors


@dataclass(frozen=True)
class Sentences:
    """A pool of sentences, encoded once by the unedited encoder. Its latents are empty: one for each sentence."""

    of: Literal["concept", "preserved"]
    """Whose: the concept's, by the listed names in turn, or preserved prompts."""
    sentences: int
    """How many."""
    pools: dict[str, Pool] = field(default_factory=dict, compare=False, repr=False)
    """Concept -> its pool, once it is made."""

    def draw(
        self, model: Diffusion, factors: Factors, subject: Subject, count: int, generator: Any
    ) -> tuple[Pool, Any]:
        """The pool, and numbers of sentences drawn evenly."""
        import torch

        if subject.concept not in self.pools:
            self.pools[subject.concept] = self._pool(model, subject)
        pool = self.pools[subject.concept]
        return pool, torch.randint(len(pool), (count,), generator=generator)

    def _pool(self, model: Diffusion, subject: Subject) -> Pool:
        """Encode the sentences of a subject."""
        import torch

        make = concept_conditions if self.of == "concept" else preserved_conditions
        told = make(model, subject, self.sentences)
        count = len(told.prompts["own"])
        nothing = torch.zeros(count, 0), torch.zeros(count, dtype=torch.long), torch.arange(count)
        return Pool(*nothing, told.rows, told.prompts, subject.names)
