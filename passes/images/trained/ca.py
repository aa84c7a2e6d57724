"""Concept ablation (Kumari et al., ICCV 2023, arXiv 2303.13516), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class CA(Trained):
    """Answer the concept's sentence as the target's, at noised pictures of the target (the model-based variant).

    mean |v(c) - v_0(target)|^2

    The target's own sentences stay: mean |v - v_0|^2 at the same pictures. Published: keys and values of
    cross-attention, whole weights, rate 2e-6, 100 to 800 steps, 200 pictures.
    """

    layers: str = "cross"
    """Kinds of layers to train: `cross`, `self`, `feed-forward`, joined by `+`, or `all`."""
    steps: int = 300
    """Steps of training, for each concept."""
    keep: float = 1.0
    """Weight of what must stay."""
    batch: int = 4
    """Latents a step, for either part."""
    pictures: int = 32
    """Pictures of the target."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.feeds.noised import Noised
        from editc.passes.images.schemes.objectives.anchor import Anchor
        from editc.passes.images.schemes.objectives.stay import StayAtTarget
        from editc.passes.training.no_adversary import NoAdversary
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        feed = Noised("target", self.pictures)
        terms = (
            Term("anchor", "erase", feed, Anchor(), 1.0, self.batch),
            Term("target stays", "keep", feed, StayAtTarget(), self.keep, self.batch),
        )
        return Scheme(terms, NoAdversary(), Total(), Optimiser(self.rate, floor=1.0), self.steps, self.rank)
