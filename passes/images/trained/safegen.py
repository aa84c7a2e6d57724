"""SafeGen (Li et al., CCS 2024, arXiv 2404.06666): self-attention sees a mosaic where the concept is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class SafeGen(Trained):
    """Train self-attention alone, without text, to see a mosaic in noised pictures of the concept.

    erase mean |v(empty) - goal(mosaic)|^2 at the concept's pictures + keep mean |v - v_0|^2 at preserved prompts'

    No text is read, so the edit does not depend on what an attacker writes. Published: 1,000 steps at 1e-5, weights 0.1
    and 0.9. The published triplets are photographs; here the model's own pictures stand for them.
    """

    layers: str = "self"
    """Kinds of layers to train: `self`, as published; `cross`, `feed-forward`, joined by `+`, or `all`."""
    rank: int = 8
    """Rank of the factors."""
    steps: int = 400
    """Steps of training, for each concept (published: 1,000)."""
    mosaic: float = 0.1
    """Weight of the mosaic (published: 0.1)."""
    keep: float = 0.9
    """Weight of what must stay (published: 0.9)."""
    cells: int = 4
    """The mosaic has so many cells a side."""
    batch: int = 4
    """Latents a step, for either part."""
    pictures: int = 32
    """Pictures of the concept, and of preserved prompts."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.feeds.noised import Noised
        from editc.passes.images.schemes.objectives.mosaic import Mosaic
        from editc.passes.images.schemes.objectives.stay import StayAtPrompts
        from editc.passes.training.no_adversary import NoAdversary
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        terms = (
            Term("mosaic", "erase", Noised("own", self.pictures), Mosaic(self.cells), self.mosaic, self.batch),
            Term("preserved", "keep", Noised("preserved", self.pictures), StayAtPrompts(0.5), self.keep, self.batch),
        )
        return Scheme(terms, NoAdversary(), Total(), Optimiser(self.rate, floor=1.0), self.steps, self.rank)
