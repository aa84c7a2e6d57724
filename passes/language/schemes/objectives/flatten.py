"""Flat logits, bounded by a retain loss (PDU, primal-dual unlearning, Entesari et al., 2025, arXiv 2506.05314)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.ask import Ask


@dataclass(frozen=True)
class Flatten:
    """mean over tokens of (max z - mean z)^2, z the logits at the tokens of the answers.

    open-unlearning takes the mean over every position of a row, prompt and padding among them.
    """

    def loss(self, ask: Ask) -> Any:
        """The mean over the tokens."""
        logits = ask.edited().logits
        return (logits.max(-1).values - logits.mean(-1)).square().mean()
