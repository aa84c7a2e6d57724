"""RECELER (Huang et al., ECCV 2024, arXiv 2311.17717), as a linear factor after cross-attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class RECELER(Trained):
    """ESD's objective, against words that an adversary goes on learning while the edit is trained.

    Every `every` steps, 16 words before the concept's name are learned further, 50 steps, to bring the unedited model's
    answer back; half of the latents are told of sentences with them.

    The published eraser is a gated network beside cross-attention, and its loss has a term of attention maps (weight
    0.1). A delta holds neither: here the eraser is a low-rank factor on cross-attention, so it cannot tell regions.
    """

    layers: str = "cross"
    """Kinds of layers to train: `cross`, `self`, `feed-forward`, joined by `+`, or `all`."""
    rank: int = 8
    """Rank of the factors (published: 128, with a gate)."""
    steps: int = 300
    """Steps of training, for each concept (published: 500)."""
    guidance: float = 1.0
    """How far beyond the empty prompt's answer the goal lies."""
    batch: int = 4
    """Latents a step, half of them attacked."""
    every: int = 50
    """Steps between two searches."""
    words: int = 8
    """Words of the adversary (published: 16, for encoders that read 77 tokens)."""
    attack_steps: int = 50
    """Steps of one search (published: 50)."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.adversaries.soft_words import SoftWords
        from editc.passes.images.schemes.feeds.sampled import Sampled
        from editc.passes.images.schemes.objectives.away import Away
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        feed, half = Sampled(self.sentences), max(1, self.batch // 2)
        terms = (
            Term("attacked", "erase", feed, Away(self.guidance), 0.5, half, attacked=True),
            Term("away", "erase", feed, Away(self.guidance), 0.5, half),
        )
        adversary = SoftWords(self.every, self.words, self.attack_steps)
        return Scheme(terms, adversary, Total(), Optimiser(self.rate, floor=1.0), self.steps, self.rank)
