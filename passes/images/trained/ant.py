"""ANT (Li et al., arXiv 2504.12782), for one concept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class ANT(Trained):
    """Turn away from the concept late on the way to a picture, and keep the way's beginning.

    mean |v(c) - (e +- guidance (c - e))|^2 with + before the turn and - after it, plus keep mean |v(e) - e|^2.

    Published for one concept: 250 steps at 5e-4 on the weights that a saliency mask chooses. A delta of low rank has no
    mask; the layers are chosen in its place.
    """

    layers: str = "all"
    """Kinds of layers to train: `cross`, `self`, `feed-forward`, joined by `+`, or `all`."""
    steps: int = 250
    """Steps of training, for each concept (published: 250)."""
    guidance: float = 1.0
    """The strength of the guidance, either way."""
    turn: float = 0.85
    """The timestep of the turn, as a share of all (published: after 7 of 50 steps)."""
    keep: float = 0.5
    """Weight of the empty prompt's answer (published: 0.5)."""
    batch: int = 4
    """Latents a step."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.feeds.sampled import Sampled
        from editc.passes.images.schemes.objectives.early_late import EarlyLate
        from editc.passes.images.schemes.objectives.stay import StayAtEmpty
        from editc.passes.training.no_adversary import NoAdversary
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        feed = Sampled(self.sentences)
        terms = (
            Term("early and late", "erase", feed, EarlyLate(self.guidance, self.turn), 1.0, self.batch),
            Term("empty stays", "keep", feed, StayAtEmpty(), self.keep, self.batch),
        )
        return Scheme(terms, NoAdversary(), Total(), Optimiser(self.rate, floor=1.0), self.steps, self.rank)
