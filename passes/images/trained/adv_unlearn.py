"""AdvUnlearn (Zhang et al., NeurIPS 2024, arXiv 2405.15234), as low-rank factors of the text encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class AdvUnlearn(Trained):
    """Train the text encoder with ESD's objective, against a word before the prompt that an adversary learns.

    mean |v(p + c) - (v_0(empty) - guidance (v_0(c) - v_0(empty)))|^2 + keep mean |v(r) - v_0(r)|^2

    v is told of the edited encoder's rows, v_0 of the unedited one's, r are preserved prompts. p is an embedding before
    the concept's name: every `every` steps it begins at random and takes `attack_steps` steps of Adam down
    mean |v(p + c) - v_0(c)|^2.

    Published: the whole encoder, rate 1e-5, 1,000 steps, a search before every step, and prompts of objects in COCO,
    kept at the latents of the concept; here they are kept at latents of their own pictures.
    """

    layers: str = "attention+feed-forward"
    """Kinds of layers of the text encoder to train: `attention`, `feed-forward`, `last-attention`, `last-feed-forward`,
    joined by `+`, or `all`."""
    steps: int = 300
    """Steps of training, for each concept (published: 1,000)."""
    guidance: float = 1.0
    """How far beyond the empty prompt's answer the goal lies."""
    batch: int = 4
    """Latents a step."""
    every: int = 10
    """Steps between two searches (published: 1)."""
    words: int = 1
    """Words of the adversary (published: 1)."""
    attack_steps: int = 30
    """Steps of one search (published: 30)."""
    prompts: int = 40
    """Preserved prompts whose pictures are kept."""
    retain_batch: int = 5
    """Latents of preserved prompts a step (published: 5 prompts)."""
    keep: float = 1.0
    """Weight of what is kept (published: 1; 0.3 in the script for nudity)."""
    part: ClassVar[str] = "text_encoder"

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.adversaries.soft_words import SoftWords
        from editc.passes.images.schemes.feeds.sampled import Sampled
        from editc.passes.images.schemes.feeds.trajectories import Trajectories
        from editc.passes.images.schemes.objectives.away import Away
        from editc.passes.images.schemes.objectives.stay import StayAtPrompts
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        concept, preserved = Sampled(self.sentences), Trajectories("preserved", self.prompts)
        terms = (
            Term("attacked", "erase", concept, Away(self.guidance), 1.0, self.batch, attacked=True),
            Term("preserved", "keep", preserved, StayAtPrompts(empty=0.0), self.keep, self.retain_batch),
        )
        adversary = SoftWords(self.every, self.words, self.attack_steps, decay=0.0, persistent=False)
        return Scheme(terms, adversary, Total(), Optimiser(self.rate, floor=1.0), self.steps, self.rank)
