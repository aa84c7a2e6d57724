"""After Co-Erasing (Li et al., ICML 2025, arXiv 2505.11131): erase by text and by pictures of the concept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class CoErasing(Trained):
    """ESD on the concept's sentence, and ESD on noised pictures of the concept under the empty prompt.

    text mean |v(c) - (v_0(empty) - guidance (v_0(c) - v_0(empty)))|^2, at the edited model's own pictures
    + image mean |v(empty) - the same goal|^2, at noised pictures of the concept by the unedited model

    Published: the picture comes in through an IP-Adapter's embedding, and text guides where it counts. No pipeline that
    editc trains has an IP-Adapter: the noised picture itself stands for the embedding, so this is not the published
    method. Preserved prompts stay under the empty prompt too.
    """

    layers: str = "cross+self+feed-forward"
    """Kinds of layers to train: `cross`, `self`, `feed-forward`, `convolution`, joined by `+`, or `all`."""
    steps: int = 300
    """Steps of training, for each concept (published: 1,000 to 1,500)."""
    guidance: float = 1.0
    """How far beyond the empty prompt's answer the goal lies."""
    image: float = 0.5
    """Weight of the pictures' part; the text's is 1."""
    keep: float = 1.0
    """Weight of what must stay."""
    batch: int = 4
    """Latents a step, for each part."""
    pictures: int = 32
    """Pictures of the concept, and of preserved prompts (published: 100 to 200)."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.feeds.noised import Noised
        from editc.passes.images.schemes.feeds.sampled import Sampled
        from editc.passes.images.schemes.objectives.away import Away
        from editc.passes.images.schemes.objectives.stay import StayAtPrompts
        from editc.passes.training.no_adversary import NoAdversary
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        by_image = Away(self.guidance, asked="empty")
        terms = (
            Term("text", "erase", Sampled(self.sentences), Away(self.guidance), 1.0, self.batch),
            Term("image", "erase", Noised("own", self.pictures), by_image, self.image, self.batch),
            Term("preserved", "keep", Noised("preserved", self.pictures), StayAtPrompts(0.5), self.keep, self.batch),
        )
        return Scheme(terms, NoAdversary(), Total(), Optimiser(self.rate, floor=1.0), self.steps, self.rank)
