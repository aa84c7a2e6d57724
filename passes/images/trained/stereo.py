"""STEREO (Srivatsan et al., CVPR 2025, arXiv 2408.16807), in one training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class STEREO(Trained):
    """ESD in rounds: in each, a word that brings the concept back is found by inversion, and every word found so far is
    erased with the name.

    Published: four rounds of ESD and inversion in a first stage, and a second one from the original model whose goal
    composes the answers to all words found and to an anchor. Here the words are erased as they are found, in one
    training, and the target's sentences are the anchor: mean |v(t) - v_0(t)|^2.
    """

    layers: str = "self+feed-forward"
    """Kinds of layers to train: `cross`, `self`, `feed-forward`, joined by `+`, or `all`."""
    rank: int = 8
    """Rank of the factors."""
    rounds: int = 4
    """Rounds (published: 4)."""
    steps: int = 80
    """Steps of training in each round (published: 200)."""
    guidance: float = 2.0
    """How far beyond the empty prompt's answer the goal lies (published: 2)."""
    keep: float = 1.0
    """Weight of the anchor."""
    attack_steps: int = 200
    """Steps of one inversion (published: 3,000 at a lower rate)."""
    batch: int = 4
    """Latents a step, half of them attacked."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.adversaries.soft_words import SoftWords
        from editc.passes.images.schemes.feeds.noised import Noised
        from editc.passes.images.schemes.feeds.sampled import Sampled
        from editc.passes.images.schemes.objectives.away import Away
        from editc.passes.images.schemes.objectives.stay import StayAtTarget
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        feed, half = Sampled(self.sentences), max(1, self.batch // 2)
        terms = (
            Term("attacked", "erase", feed, Away(self.guidance), 0.5, half, attacked=True),
            Term("away", "erase", feed, Away(self.guidance), 0.5, half),
            Term("anchor", "keep", Noised("target", self.sentences), StayAtTarget(), self.keep, half),
        )
        adversary = SoftWords(self.steps, 1, self.attack_steps, decay=0.0, before=False, persistent=False, memory=True)
        total = self.rounds * self.steps
        return Scheme(terms, adversary, Total(), Optimiser(self.rate, floor=1.0), total, self.rank)
