"""Alternate preference optimisation (Mekala et al., COLING 2025, arXiv 2409.13474), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from editc.passes.language.trained.trained import TrainedOnRows


@dataclass(frozen=True)
class AltPO(TrainedOnRows):
    """Prefer other answers to those that are forgotten.

    push (-(2 / beta) mean log sigmoid(beta (log p(a) / p_before(a) - log p(y) / p_before(y)))) + keep (retain loss)

    y are the answers, a alternatives: what the unedited model says to the same prompts when it may not say the words
    that y tells. Published: the model is asked for an alternative in words, which a small one does not follow.
    """

    beta: float = 0.1
    """How fast the push fades once an alternative has gained on the answer (published: 0.1)."""
    steps: int = 200
    """Steps of training. What must stay slows the push down, so they are twice as many as elsewhere."""
    keep: float = 2.0
    """Weight of what is retained."""
    keep_by: Literal["nll", "kl", "stream"] = "kl"
    """How the retain set stays: see the other methods (published: `nll`, at `keep: 1`)."""
    ordinary: float = 4.0
    """Weight of ordinary questions: see the other methods. Without them, what lies beside both sets suffers most
    (docs/measurements/tofu-mini.md)."""
    alternatives: int = 5
    """How many alternatives each row has (published: 5)."""
    needs_prompts: ClassVar[bool] = True
    """An alternative needs a prompt before it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0:
            raise ValueError(f"`beta` is {self.beta:g}: it must be more than 0")
        if self.alternatives < 1:
            raise ValueError(f"`alternatives` is {self.alternatives}: it must be 1 or more")

    def objective(self) -> Any:
        """What the rows that are forgotten minimise."""
        from editc.passes.language.schemes.objectives.alternative import PreferAlternative

        return PreferAlternative(self.beta)
