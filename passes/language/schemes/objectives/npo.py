"""Negative preference optimisation (Zhang et al., COLM 2024, arXiv 2404.05868), and its form without a reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.ask import Ask


@dataclass(frozen=True)
class Disprefer:
    """-(2 / beta) mean log sigmoid(-beta (log p(y) - log p_before(y))), y whole answers."""

    beta: float = 0.1
    """How fast the push fades once an answer is less likely than before. To 0 it is gradient ascent."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the rows."""
        from torch.nn.functional import logsigmoid

        ratio = ask.edited().likelihoods - ask.frozen().likelihoods
        return -(2 / self.beta) * logsigmoid(-self.beta * ratio).mean()


@dataclass(frozen=True)
class DispreferByLength:
    """-(2 / beta) mean log sigmoid(-(beta / |y|) log p(y) - margin), y whole answers of |y| tokens.

    SimNPO (Fan et al., NeurIPS 2025, arXiv 2410.07163). open-unlearning subtracts the margin before it multiplies by
    beta; both are the same at the published margin of 0.
    """

    beta: float = 4.5
    """How fast the push fades."""
    margin: float = 0.0
    """How much less likely than beyond `beta` an answer must become."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the rows."""
        from torch.nn.functional import logsigmoid

        answers = ask.edited()
        return -(2 / self.beta) * logsigmoid(-self.beta * answers.likelihoods / answers.lengths - self.margin).mean()
