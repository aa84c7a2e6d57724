"""Erased stable diffusion (Gandikota et al., ICCV 2023, arXiv 2303.07345), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class ESD(Trained):
    """Answer the concept's sentence as its opposite, at latents of the edited model's own pictures.

    mean |v(c) - (v_0(empty) - guidance (v_0(c) - v_0(empty)))|^2

    Nothing is kept but by the layers that are left alone: `cross` is the paper's ESD-x, for concepts that a prompt
    names; `self+feed-forward` its ESD-u, for concepts that come without their name. Published: whole weights, rate
    1e-5, 1,000 steps.
    """

    layers: str = "cross"
    """Kinds of layers to train: `cross`, `self`, `feed-forward`, joined by `+`, or `all`."""
    steps: int = 300
    """Steps of training, for each concept."""
    guidance: float = 1.0
    """How far beyond the empty prompt's answer the goal lies."""
    batch: int = 4
    """Latents a step."""
    exact: bool = False
    """True: half of the latents are told of the rows that come nearest to the concept in the keys and values of the
    moment (the certificate's minimiser), solved for again every 20 steps."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.adversaries.exact import Exact
        from editc.passes.images.schemes.feeds.sampled import Sampled
        from editc.passes.images.schemes.objectives.away import Away
        from editc.passes.training.no_adversary import NoAdversary
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        term = Term("away", "erase", Sampled(self.sentences), Away(self.guidance), 1.0, self.batch, attacked=self.exact)
        adversary = Exact() if self.exact else NoAdversary()
        return Scheme((term,), adversary, Total(), Optimiser(self.rate, floor=1.0), self.steps, self.rank)
