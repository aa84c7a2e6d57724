"""Personalisation: a new word and a LoRA, both learned from a few pictures of the concept.

Twelve papers of the field (textual inversion, DreamBooth, Custom Diffusion and their kin) teach a model a subject from
three to eight pictures. As a threat they are one: this attack does what they have in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.attacks.inversion import Inversion
from editc.passes.images.attacks.relearn import fit
from editc.passes.images.diffusion.adapter import attach_adapter
from editc.passes.images.diffusion.sampling import paint


@dataclass(frozen=True)
class Personalise:
    """First a new word is learned (textual inversion), then a LoRA of the cross-attention for sentences with it
    (DreamBooth-like). No sentence names the concept."""

    words: int = 1
    """Embeddings of the new word."""
    inversion: int = 150
    """Steps for the word."""
    steps: int = 100
    """Steps for the LoRA."""
    shots: int = 4
    """Pictures that are learned from."""
    rank: int = 4
    """The LoRA's rank."""
    rate: float = 1e-3
    """Adam's rate for the LoRA."""
    batch: int = 8
    """Noised pictures a step."""

    summary: ClassVar[str] = "a new word and a LoRA, learned from a few pictures"
    access: ClassVar[Access] = "weights"
    quick: ClassVar[Mapping[str, Any]] = {"inversion": 40, "steps": 40}
    thorough: ClassVar[Mapping[str, Any]] = {"inversion": 200, "steps": 200}

    def run(self, case: Case) -> Outcome:
        """Learn both, and paint sentences with the new word."""
        model = case.model
        rows = Inversion(words=self.words, steps=self.inversion).learn(case)
        with attach_adapter(model, self.rank, case.seed) as adapter:
            losses = fit(case, adapter, rows[: self.shots], self.shots, self.steps, self.rate, self.batch)
            pictures = paint(model, rows, case.seeds, case.steps, case.guidance)
        return Outcome(pictures, {"loss": [round(one, 4) for one in losses[:: max(1, len(losses) // 10)]]})
