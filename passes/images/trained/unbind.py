"""Our method for `from`: take an attribute off one thing, and leave both words alone everywhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme

AVERAGE = 0.99
"""The decay of the running mean of the factors, over the second half of the steps. Chosen by hand."""


@dataclass(frozen=True)
class Unbind(Trained):
    """Train the text encoder so that a thing with the attribute is answered as the thing alone.

        mean |v(u~) - v(t)|^2 + keep mean (|v(o~) - v(o)|^2 + |v(p~) - v(p)|^2 + |p~ - p|^2 / |p|^2)

    A letter is all rows of a prompt, with a tilde of the edited encoder's: u a sentence of the thing with the
    attribute, t the same of the thing alone, o the same of another thing with the attribute, p a preserved prompt; some
    of these are of other things with the attribute. v are the answers of the denoiser, which stays as it is: the first
    at pictures of u and of t, half each, the second at pictures of u, the third at pictures of p.

    An encoder that reads from left to right gives the attribute's word the same row before every thing, so no edit of
    that row tells things apart. The rows after it have seen both words, and outweigh it
    (docs/measurements/attribute.md).
    """

    layers: str = "attention+feed-forward"
    """Kinds of layers of the text encoder to train: `attention`, `feed-forward`, `last-attention`, `last-feed-forward`,
    joined by `+`, or `all`."""
    rank: int = 16
    """Rank of the factors."""
    rate: float = 0.004
    """Adam's first rate."""
    steps: int = 800
    """Steps of training, for each edit."""
    sentences: int = 32
    """Sentences of the thing with the attribute, for each name of it."""
    prompts: int = 240
    """Preserved prompts whose pictures are kept, and of which twice as many rows are kept."""
    batch: int = 8
    """Latents of each kind a step."""
    kept: int = 24
    """Preserved prompts a step whose rows are kept."""
    keep: float = 1.0
    """Weight of each of the three things that are kept."""
    part: ClassVar[str] = "text_encoder"

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.feeds.sentences import Sentences
        from editc.passes.images.schemes.feeds.trajectories import Trajectories
        from editc.passes.images.schemes.objectives.anchor import Anchor
        from editc.passes.images.schemes.objectives.embeddings import StayAtRows
        from editc.passes.images.schemes.objectives.stay import StayAtOthers, StayAtPrompts
        from editc.passes.training.no_adversary import NoAdversary
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        concept = Trajectories("concept", self.sentences, each=True)
        target = Trajectories("target", self.sentences, each=True)
        preserved, rows = Trajectories("preserved", self.prompts), Sentences("preserved", 2 * self.prompts)
        terms = (
            Term("target", "erase", concept, Anchor(), 0.5, self.batch),
            Term("elsewhere", "erase", target, Anchor(), 0.5, self.batch),
            Term("others", "keep", concept, StayAtOthers(), self.keep, self.batch),
            Term("preserved", "keep", preserved, StayAtPrompts(empty=0.0), self.keep, self.batch),
            Term("rows", "keep", rows, StayAtRows(), self.keep, self.kept),
        )
        return Scheme(terms, NoAdversary(), Total(), Optimiser(self.rate), self.steps, self.rank, average=AVERAGE)
