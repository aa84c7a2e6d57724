"""Simple negative preference optimisation (Fan et al., NeurIPS 2025, arXiv 2410.07163), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.trained.trained import TrainedOnRows


@dataclass(frozen=True)
class SimNPO(TrainedOnRows):
    """Make the answers that are forgotten unlikely by their mean over tokens, without the unedited model beside it.

    push (-(2 / beta) mean log sigmoid(-(beta / |y|) log p(y) - margin)) + keep (-mean log p(y_retain))
    """

    beta: float = 4.5
    """How fast the push fades once an answer is unlikely (open-unlearning: 4.5)."""
    margin: float = 0.0
    """How much less likely than beyond `beta` an answer must become (published: 0)."""
    push: float = 0.125
    """Weight of what is forgotten (open-unlearning: 0.125)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0:
            raise ValueError(f"`beta` is {self.beta:g}: it must be more than 0")

    def objective(self) -> Any:
        """What the rows that are forgotten minimise."""
        from editc.passes.language.schemes.objectives.npo import DispreferByLength

        return DispreferByLength(self.beta, self.margin)
