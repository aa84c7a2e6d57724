"""Domain correction (Wu et al., AAAI 2025, arXiv 2405.15304), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class DoCo(Trained):
    """Answer the concept so that a critic, which learns beside it, takes the answer for the target's.

    mean softplus(-score(x)), x the clean latents of the answer at noised pictures of the target

    Preserved prompts stay, and where both gradients of a factor disagree, the part of the erasing one that pulls
    against what stays is taken away. Published: keys and values of cross-attention, whole weights, rate 6e-6, 2,000
    steps, 1,000 pictures of users and a warm-up of 1,000 steps.
    """

    layers: str = "cross"
    """Kinds of layers to train: `cross`, `self`, `feed-forward`, `convolution`, joined by `+`, or `all`."""
    steps: int = 400
    """Steps of training, for each concept (published: 2,000)."""
    critic_rate: float = 5e-4
    """Adam's rate for the critic (published: 1e-4 to 5e-4)."""
    surgery: float = 1.0
    """How much of the conflicting part of a gradient is taken away."""
    keep: float = 1.0
    """Weight of what must stay."""
    batch: int = 4
    """Latents a step, for either part."""
    pictures: int = 32
    """Pictures of the target, and of preserved prompts."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.adversaries.critic import Critic
        from editc.passes.images.schemes.feeds.noised import Noised
        from editc.passes.images.schemes.objectives.fool import Fool
        from editc.passes.images.schemes.objectives.stay import StayAtPrompts
        from editc.passes.training.rules.surgery import Surgery
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        terms = (
            Term("critic", "erase", Noised("target", self.pictures), Fool(), 1.0, self.batch),
            Term("preserved", "keep", Noised("preserved", self.pictures), StayAtPrompts(), self.keep, self.batch),
        )
        adversary = Critic(rate=self.critic_rate)
        return Scheme(terms, adversary, Surgery(self.surgery), Optimiser(self.rate, floor=1.0), self.steps, self.rank)
