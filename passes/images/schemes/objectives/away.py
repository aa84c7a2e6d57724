"""Erased stable diffusion (Gandikota et al., ICCV 2023, arXiv 2303.07345): answer away from the concept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from editc.passes.images.schemes.ask import Ask
from editc.passes.images.schemes.divergences.mse import MeanSquare
from editc.passes.images.schemes.scheme import Divergence


@dataclass(frozen=True)
class Away:
    """mean D(v(asked), n - guidance (c - n)), where c is the unedited model's answer to the concept and n its answer to
    `neutral`."""

    guidance: float = 1.0
    """How far beyond the neutral answer the goal lies."""
    neutral: Literal["empty", "target"] = "empty"
    """What is neutral: the empty prompt, as ESD has it, or the target, as SPM has it."""
    asked: Literal["own", "empty"] = "own"
    """What the edited model is asked: the concept's sentence, or the empty prompt, so that only the latents tell of the
    concept."""
    divergence: Divergence = field(default_factory=MeanSquare)
    """D: how answers are compared."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents."""
        neutral, concept = ask.frozen(self.neutral), ask.frozen()
        return self.divergence(ask.edited(self.asked), neutral - self.guidance * (concept - neutral)).mean()
