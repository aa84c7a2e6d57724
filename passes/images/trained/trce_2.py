"""TRCE's second stage (Chen et al., ICCV 2025, arXiv 2503.07389), on top of its first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class TRCE2(Trained):
    """`trce`, and then a training that turns early steps of a picture from the concept's guidance to the target's.

    [|v - (t + w (t - e))|^2 - |v - (c + w (c - e))|^2 + margin]_+ with the concept's sentence and the empty prompt, in
    the first half of the way, plus keep |v(e) - e|^2 on preserved prompts' pictures; t, c, e are unedited answers.

    Published: self-attention and the queries of cross-attention, whole weights, rate 1e-6, 3 epochs.
    """

    keys: ClassVar[str] = "eot"
    layers: str = "self+query"
    """Kinds of layers to train: `query`, `cross`, `self`, `feed-forward`, joined by `+`, or `all`."""
    steps: int = 200
    """Steps of training, for each concept."""
    guidance: float = 15.0
    """w (published: 15)."""
    margin: float = 0.01
    """By how much the safe goal must be nearer (published: 0.01)."""
    keep: float = 100.0
    """Weight of what must stay (published: 100)."""
    batch: int = 4
    """Latents a step, for either part (published: 4)."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.feeds.trajectories import Trajectories
        from editc.passes.images.schemes.objectives.hinge import Hinge
        from editc.passes.images.schemes.objectives.stay import StayAtEmpty
        from editc.passes.training.no_adversary import NoAdversary
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        concept, preserved = Trajectories("concept", self.sentences), Trajectories("preserved", self.sentences)
        terms = (
            Term("hinge", "erase", concept, Hinge(self.guidance, self.margin), 1.0, self.batch),
            Term("empty stays", "keep", preserved, StayAtEmpty(), self.keep, self.batch),
        )
        optimiser = Optimiser(self.rate)
        return Scheme(terms, NoAdversary(), Total(), optimiser, self.steps, self.rank, start="trce")
