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
from editc.passes.images.attacks.relearn import fit, thin
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
    starts: int = 3
    """Where the word begins: the concept's own name, then words drawn from the vocabulary."""
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
    quick: ClassVar[Mapping[str, Any]] = {"inversion": 15, "starts": 1, "steps": 30, "batch": 4}
    thorough: ClassVar[Mapping[str, Any]] = {"inversion": 200, "steps": 200}

    def run(self, case: Case) -> Outcome:
        """Learn both, and paint sentences with the new word."""
        model = case.model
        rows = Inversion(words=self.words, steps=self.inversion, starts=self.starts).learn(case)
        with attach_adapter(model, self.rank, case.seed) as adapter:
            losses = list(fit(case, adapter, rows[: self.shots], self.shots, self.steps, self.rate, self.batch))
            pictures = paint(model, rows, case.seeds, case.steps, case.guidance)
        return Outcome(pictures, {"loss": thin(losses)})
