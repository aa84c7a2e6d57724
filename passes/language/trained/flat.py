"""Loss adjustment by an f-divergence (FLAT, Wang et al., ICLR 2025, arXiv 2410.11143), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from editc.passes.language.trained.trained import TrainedOnRows


@dataclass(frozen=True)
class FLAT(TrainedOnRows):
    """Raise the probability of "I don't know" and lower that of the answers, without a retain set.

    push mean (tanh(P(y)) - tanh(P(r))) / 2, P the mean probability of a token of an answer

    The divergence is total variation, the authors' default. Published: rank 8, alpha 32, rate 1e-4, 10 epochs.
    """

    keep: float = 0.0
    """Weight of what is retained (published: 0, and no retain set). 0: the retain set is only measured."""

    needs_prompts: ClassVar[bool] = True
    """A refusal needs a prompt before it."""

    def objective(self) -> Any:
        """What the rows that are forgotten minimise."""
        from editc.passes.language.schemes.objectives.flat import TotalVariation

        return TotalVariation()
