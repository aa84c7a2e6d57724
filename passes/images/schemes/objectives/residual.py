"""The concept's own residual: only what no mixture of other names predicts is pushed away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.images.schemes.ask import Ask


@dataclass(frozen=True)
class Residual:
    """mean relu(s - margin)^2 |r|^2 / n, n the number of entries of an answer. What other concepts need is never
    pulled at, because it has no part in r."""

    margin: float = -0.15
    """The share below which nothing is pushed. Below 0, so that guidance, which amplifies what is left, finds none."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents."""
        answers = ask.edited()
        size = ask.residual.flatten(1).square().mean(1)
        return ((ask.share(answers) - self.margin).relu().square() * size).mean()
