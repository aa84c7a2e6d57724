"""TRCE's second stage (Chen et al., ICCV 2025, arXiv 2503.07389): nearer to the safe guidance than to the concept's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.images.schemes.ask import Ask
from editc.passes.images.schemes.divergences.mse import MeanSquare


@dataclass(frozen=True)
class Hinge:
    """mean [m(v, t + w (t - e)) - m(v, c + w (c - e)) + margin]_+, m the mean square, and t, c, e the unedited model's
    answers to target, concept and empty prompt. It is asked with the concept's sentence and with the empty prompt; the
    loss is the mean of both."""

    guidance: float = 15.0
    """w: how far along the guidance the goals lie."""
    margin: float = 0.01
    """By how much the safe goal must be nearer."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents and both prompts."""
        empty, concept, target = ask.frozen("empty"), ask.frozen(), ask.frozen("target")
        safe, unsafe = target + self.guidance * (target - empty), concept + self.guidance * (concept - empty)
        measure = MeanSquare()
        parts = [
            (measure(answer, safe) - measure(answer, unsafe) + self.margin).relu().mean()
            for answer in (ask.edited(), ask.edited("empty"))
        ]
        return sum(parts) / len(parts)
