"""Concept ablation (Kumari et al., ICCV 2023, arXiv 2303.13516): answer a concept's sentence as another's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from editc.passes.images.schemes.ask import Ask
from editc.passes.images.schemes.divergences.mse import MeanSquare
from editc.passes.images.schemes.scheme import Divergence


@dataclass(frozen=True)
class Anchor:
    """mean D(v(concept), v_before(target))."""

    divergence: Divergence = field(default_factory=MeanSquare)
    """D: how answers are compared."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents."""
        return self.divergence(ask.edited(), ask.frozen("target")).mean()
