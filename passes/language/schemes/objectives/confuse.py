"""Outputs that no longer point where they pointed (CIR, Sondej and Yang, 2025, arXiv 2509.11816)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.ask import Ask


@dataclass(frozen=True)
class Confuse:
    """mean over matrices and tokens of max(0, <o, o_before>) / s^2, o what a trained matrix makes of a token of the
    answers, s the mean length of o_before over these tokens."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the tokens, then over the matrices."""
        import torch

        before, after = ask.frozen_outputs(), ask.edited_outputs()
        sizes = {name: one.norm(dim=-1).mean() for name, one in before.items()}
        parts = [((after[name] * one).sum(-1).clamp(min=0) / sizes[name] ** 2).mean() for name, one in before.items()]
        return torch.stack(parts).mean()
