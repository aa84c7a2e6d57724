"""DES, distorting embedding space (Ahn and Jung, NeurIPS 2025, arXiv 2501.18877), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class DES(Trained):
    """Train the text encoder alone: the concept's sentences are read as safe ones that are least like them.

    d(u~, s* - a n) + [d(s~, s) + d(s~ + a n, s + a n)] / 2 + neutral d(n~, e),  d = 1 - cos

    A letter is all rows of a prompt as one vector, with a tilde of the edited encoder: u a sentence of the concept, s a
    safe one, s* the safe one with the least cosine to u, n the concept's name alone, e the empty prompt. Safe sentences
    are those with the target's name or other names, and preserved prompts. No denoiser is asked and no picture painted.

    Published: the whole encoder, 7,000 pairs of unsafe and safe prompts, a = 200 / |n|, which is `shift` times 1 here.
    """

    layers: str = "attention+feed-forward"
    """Kinds of layers of the text encoder to train: `attention`, `feed-forward`, `last-attention`, `last-feed-forward`,
    joined by `+`, or `all`."""
    rank: int = 8
    """Rank of the factors."""
    steps: int = 300
    """Steps of training, for each concept."""
    sentences: int = 32
    """Sentences of the concept."""
    prompts: int = 200
    """Preserved prompts."""
    batch: int = 8
    """Sentences of each kind a step."""
    shift: float = 0.8
    """a: how far beyond the safe sentence the goal lies, as a share of |n|."""
    keep: float = 1.0
    """Weight of what is kept: half on preserved prompts, half on sentences with the target's name."""
    neutral: float = 0.3
    """Weight of the name that is to say nothing (published: 0.3)."""
    part: ClassVar[str] = "text_encoder"

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.feeds.sentences import Sentences
        from editc.passes.images.schemes.objectives.embeddings import NameToEmpty, StayAtEmbeddings, ToOpposite
        from editc.passes.training.no_adversary import NoAdversary
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        concept, preserved = Sentences("concept", self.sentences), Sentences("preserved", self.prompts)
        terms = (
            Term("opposite", "erase", concept, ToOpposite(self.shift), 1.0, self.batch),
            Term("preserved", "keep", preserved, StayAtEmbeddings("own", self.shift), self.keep / 2, self.batch),
            Term("target", "keep", concept, StayAtEmbeddings("target", self.shift), self.keep / 2, self.batch),
            Term("name", "erase", concept, NameToEmpty(), self.neutral, 1),
        )
        return Scheme(terms, NoAdversary(), Total(), Optimiser(self.rate), self.steps, self.rank)
