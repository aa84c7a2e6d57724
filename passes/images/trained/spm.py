"""SPM (Lyu et al., CVPR 2024, arXiv 2312.16145): factors of rank 1, held by random anchors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class SPM(Trained):
    """Answer the concept away from the target, and random conditions as before (latent anchoring).

    mean |v(c) - (v_0(t) - guidance (v_0(c) - v_0(t)))|^2 + anchor mean (1 - cos(a, c)) |v(a) - v_0(a)|^2

    a are Gaussian rows, 0.8 to 1.2 times as long as the concept's. Latents are the edited model's own. Published: all
    linear layers and convolutions of the transformers, rate 1e-4, 3,000 steps. The facilitated transport, which scales
    the factors by each prompt when they are loaded, is no part of a delta. For adapters that others trained see `fuse`.
    """

    layers: str = "all"
    """Kinds of layers to train: `cross`, `self`, `feed-forward`, joined by `+`, or `all`."""
    rank: int = 1
    """Rank of the factors (published: 1)."""
    steps: int = 300
    """Steps of training, for each concept."""
    guidance: float = 1.0
    """How far beyond the target's answer the goal lies."""
    anchor: float = 1000.0
    """Weight of the anchors (published: 1000)."""
    batch: int = 2
    """Latents a step."""
    anchors: int = 4
    """Anchors a step (published: 4)."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.feeds.sampled import Sampled
        from editc.passes.images.schemes.objectives.away import Away
        from editc.passes.images.schemes.objectives.stay import StayAtRandom
        from editc.passes.training.no_adversary import NoAdversary
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        feed = Sampled(self.sentences)
        terms = (
            Term("away", "erase", feed, Away(self.guidance, neutral="target"), 1.0, self.batch),
            Term("anchors", "keep", feed, StayAtRandom(), self.anchor, self.anchors),
        )
        return Scheme(terms, NoAdversary(), Total(), Optimiser(self.rate), self.steps, self.rank)
