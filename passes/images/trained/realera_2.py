"""RealEra's second stage (Liu et al., 2024, arXiv 2410.09140), on top of its first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class RealEra2(Trained):
    """`realera`, and then concept ablation at rows around the concept's, while other names stay.

    mean |v(c + n) - v_0(target)|^2 + keep mean |v(o) - v_0(o)|^2, n random up to `radius` of a row's norm, o other
    names at the concept's latents (the paper's beyond-concept term).
    """

    neighbours: int = 5
    """The most other names that are mined for each concept, as in `realera`; 0 mines none."""
    alike: float = 0.9
    """The least score of a mined name: a cosine."""
    layers: str = "cross"
    """Kinds of layers to train: `cross`, `self`, `feed-forward`, joined by `+`, or `all`."""
    steps: int = 300
    """Steps of training, for each concept."""
    radius: float = 0.5
    """The largest perturbation, as a share of a row's norm."""
    keep: float = 1.0
    """Weight of what must stay."""
    batch: int = 4
    """Latents a step, for either part."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.adversaries.ring import Ring
        from editc.passes.images.schemes.feeds.trajectories import Trajectories
        from editc.passes.images.schemes.objectives.anchor import Anchor
        from editc.passes.images.schemes.objectives.stay import StayAtOthers
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        feed = Trajectories("concept", self.sentences)
        terms = (
            Term("anchor", "erase", feed, Anchor(), 1.0, self.batch, attacked=True),
            Term("others stay", "keep", feed, StayAtOthers(), self.keep, self.batch),
        )
        optimiser = Optimiser(self.rate)
        return Scheme(terms, Ring(self.radius), Total(), optimiser, self.steps, self.rank, start="realera")
