"""After Geom-Erasing (Liu et al., ECCV 2024, arXiv 2310.05873): an implicit concept is moved out of a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class Geom(Trained):
    """Write what a detector sees into the sentence, so that the sentence alone no longer means it.

    mean |v(sentence) - goal|^2 at noised pictures without the concept
    + written mean |v(sentence, label) - goal|^2 at pictures with it
    + keep mean |v - v_0|^2 at preserved prompts

    An implicit concept, such as a watermark, stands in pictures of a word that does not name it: erase the word's
    sense of it with `label: ...`, the detector's name for it. The published method fine-tunes on a training set, writes
    the place in a grid too, and negates the written words in each prompt: the model's own pictures stand for the set,
    the place is not written, and nothing is asked of a prompt, so this is not the published method.
    """

    layers: str = "cross"
    """Kinds of layers to train: `cross`, `self`, `feed-forward`, `convolution`, joined by `+`, or `all`."""
    steps: int = 400
    """Steps of training, for each concept."""
    rate: float = 0.002
    """Adam's first rate."""
    pictures: int = 64
    """Pictures of the concept's sentences, with it and without."""
    batch: int = 8
    """Pictures a step, for each part."""
    written: float = 1.0
    """Weight of the pictures with the concept, whose sentences say so. 0 leaves them out: do so for a label that the
    model never learned as a word."""
    keep: float = 2.0
    """Weight of what must stay."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.feeds.judged import Judged
        from editc.passes.images.schemes.feeds.trajectories import Trajectories
        from editc.passes.images.schemes.objectives.denoising import Denoising
        from editc.passes.images.schemes.objectives.stay import StayAtPrompts
        from editc.passes.training.no_adversary import NoAdversary
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        without = Judged(False, self.pictures)
        shown, preserved = Judged(True, self.pictures, without.painted), Trajectories("preserved", self.sentences)
        written = Term("written", "erase", shown, Denoising("written"), self.written, self.batch)
        terms = (
            Term("without", "erase", without, Denoising(), 1.0, self.batch),
            *((written,) if self.written else ()),
            Term("preserved", "keep", preserved, StayAtPrompts(), self.keep, self.batch),
        )
        return Scheme(terms, NoAdversary(), Total(), Optimiser(self.rate), self.steps, self.rank)
