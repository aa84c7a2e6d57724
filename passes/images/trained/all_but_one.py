"""All but one (Hong et al., AAAI 2024, arXiv 2312.12807): turn the concept away and hold the empty prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class AllButOne(Trained):
    """ESD's objective with the unconditional answer held where it was, so that guidance keeps a picture's structure.

    mean |v(c) - (v_0(e) - guidance (v_0(c) - v_0(e)))|^2 + keep mean |v(e) - v_0(e)|^2

    The paper's code is not public; the formula is taken from its text.
    """

    layers: str = "all"
    """Kinds of layers to train: `cross`, `self`, `feed-forward`, joined by `+`, or `all`."""
    steps: int = 300
    """Steps of training, for each concept."""
    guidance: float = 1.0
    """How far beyond the empty prompt's answer the goal lies."""
    keep: float = 1.0
    """Weight of the empty prompt's answer."""
    batch: int = 4
    """Latents a step."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.feeds.sampled import Sampled
        from editc.passes.images.schemes.objectives.away import Away
        from editc.passes.images.schemes.objectives.stay import StayAtEmpty
        from editc.passes.training.no_adversary import NoAdversary
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        feed = Sampled(self.sentences)
        terms = (
            Term("away", "erase", feed, Away(self.guidance), 1.0, self.batch),
            Term("empty stays", "keep", feed, StayAtEmpty(), self.keep, self.batch),
        )
        return Scheme(terms, NoAdversary(), Total(), Optimiser(self.rate, floor=1.0), self.steps, self.rank)
