"""Our method: push a concept's own residual out of the model, in rounds of attack and repair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from editc.passes.images.trained.trained import Trained

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Scheme


AVERAGE = 0.99
"""The decay of the running mean of the factors. Chosen by hand: over some hundred steps, two or three rounds."""


@dataclass(frozen=True)
class Forget(Trained):
    """Train low-rank factors so that no row of the text encoder's ball leads to the concept.

    At latents of the concept's own pictures let v be the edited model's answer, v_c the unedited one's, h the best
    mixture of the unedited model's answers to other names, r = v_c - h and s = <v - h, r> / |r|^2. A round searches
    rows with a large s, and then trains on

        4 mean relu(s - margin)^2 |r|^2 / n + 0.3 |v - v_target|^2 + keep (|v - v_before|^2)

    over found, remembered and plain rows; what is kept are preserved prompts and other names at the concept's latents.
    Searches are longer in the second half of the rounds, and the mean of the factors over that half is kept.
    Only r is pushed away, so what other concepts need is never pulled at (docs/explanation/forget.md).
    """

    layers: str = "cross+self+feed-forward"
    """Kinds of layers to train: `cross`, `self`, `feed-forward`, `convolution`, joined by `+`, or `all`."""
    rank: int = 2
    """Rank of the factors."""
    rounds: int = 18
    """Rounds of attack and repair, for each concept."""
    steps: int = 40
    """Training steps of a round."""
    attack_steps: int = 60
    """Steps of the attack of a round, in the first half of the rounds."""
    long_attack_steps: int = 200
    """The same in the second half. A model that was trained against 60 steps alone gives way to 250
    (docs/explanation/forget.md)."""
    margin: float = -0.3
    """The share of the concept, s, below which nothing is pushed. Below 0, because guidance amplifies what is left."""
    keep: float = 3.5
    """Weight of what must stay."""
    rate: float = 0.002
    """Adam's first rate."""
    sentences: int = 32
    """Sentences of the concept whose pictures are trained on."""
    prompts: int = 240
    """Preserved prompts whose pictures are kept."""
    enough: float = -0.1
    """The training stops early once two searches in a row reach no more than this share of the concept."""
    free: bool = False
    """True: matrices that read the text change only in directions that no preserved row has."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.images.schemes.adversaries.rows import RowSearch
        from editc.passes.images.schemes.feeds.trajectories import Trajectories
        from editc.passes.images.schemes.objectives.anchor import Anchor
        from editc.passes.images.schemes.objectives.residual import Residual
        from editc.passes.images.schemes.objectives.stay import StayAtOthers, StayAtPrompts
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme, Term

        concept, preserved = Trajectories("concept", self.sentences), Trajectories("preserved", self.prompts)
        terms = (
            Term("residual", "erase", concept, Residual(self.margin), 4.0, 15, attacked=True),
            Term("target", "erase", concept, Anchor(), 0.3, 2),
            Term("preserved", "keep", preserved, StayAtPrompts(), self.keep * 2 / 3, 8),
            Term("others", "keep", concept, StayAtOthers(), self.keep / 3, 4),
        )
        adversary = RowSearch(
            every=self.steps,
            steps=self.attack_steps,
            long_after=self.rounds // 2,
            long_steps=self.long_attack_steps,
        )
        total = self.rounds * self.steps
        return Scheme(
            terms,
            adversary,
            Total(),
            Optimiser(self.rate),
            total,
            self.rank,
            measures_own=True,
            enough=self.enough,
            average=AVERAGE,
            free=self.free,
        )
