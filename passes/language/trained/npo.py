"""Negative preference optimisation (Zhang et al., COLM 2024, arXiv 2404.05868), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.trained.trained import TrainedOnRows


@dataclass(frozen=True)
class NPO(TrainedOnRows):
    """Make the answers that are forgotten less likely than before, with a push that fades out.

    push (-(2 / beta) mean log sigmoid(-beta (log p(y) - log p_before(y)))) + keep (-mean log p(y_retain))
    """

    beta: float = 0.1
    """How fast the push fades once an answer is less likely than before (published: 0.1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0:
            raise ValueError(f"`beta` is {self.beta:g}: it must be more than 0")

    def objective(self) -> Any:
        """What the rows that are forgotten minimise."""
        from editc.passes.language.schemes.objectives.npo import Disprefer

        return Disprefer(self.beta)
