"""Few-shot unlearning (Fuchi and Takagi, 2024, arXiv 2405.07288), as low-rank factors of the text encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class FewShot(Trained):
    """Train the text encoder to be wrong about the noise in a few pictures of the concept.

    -mean |v(c) - goal|^2 over noised pictures, the goal what a perfect network answers (for a model that predicts
    noise: the noise itself), and v told of the edited encoder's rows.

    The loss has no lower bound and nothing is kept, so only few steps keep the model whole: watch `bystander_loss` and
    `preserve_drift`. On the demo model a rate of 0.01 leaves 12 of 20 pictures of circle and 39 of 40 others; 0.03
    leaves 2 of 20 and 6 of 40. Published: whole matrices of the feed-forward layers and of the last self-attention, 4
    or 5 epochs of 4 pictures.
    """

    layers: str = "feed-forward+last-attention"
    """Kinds of layers of the text encoder to train: `attention`, `feed-forward`, `last-attention`, `last-feed-forward`,
    joined by `+`, or `all`."""
    rate: float = 0.01
    """Adam's rate (published: 1e-5, for whole weights)."""
    steps: int = 10
    """Steps of training, for each concept (published: 8 to 10)."""
    pictures: int = 4
    """Pictures of the concept, painted by the unedited model (published: 4)."""
    batch: int = 2
    """Pictures a step (published: 2)."""
    part: ClassVar[str] = "text_encoder"

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.feeds.noised import Noised
        from editc.passes.images.schemes.objectives.noise import WrongNoise
        from editc.passes.training.no_adversary import NoAdversary
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        term = Term("wrong noise", "erase", Noised("own", self.pictures), WrongNoise(), 1.0, self.batch)
        optimiser = Optimiser(self.rate, floor=1.0, betas=(0.9, 0.98), decay=1e-8)
        return Scheme((term,), NoAdversary(), Total(), optimiser, self.steps, self.rank)
