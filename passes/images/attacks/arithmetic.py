"""Concept arithmetic: answers to several harmless prompts, added with signs (Petsiuk and Saenko, ECCV 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.diffusion.sampling import denoise


@dataclass(frozen=True)
class Arithmetic:
    """The attacked model is asked about `prompts` other names at once, and its answers are mixed with the signed
    weights by which the unedited model's answers to them come nearest to its answer to the concept. Nothing is
    optimised against the edit, and no prompt names the concept."""

    prompts: int = 4
    """How many other names are mixed: those of the largest weights."""

    summary: ClassVar[str] = "several harmless prompts, their answers added with signs"
    access: ClassVar[Access] = "prompts"
    quick: ClassVar[Mapping[str, Any]] = {}
    thorough: ClassVar[Mapping[str, Any]] = {}

    def run(self, case: Case) -> Outcome:
        """Choose the names, and paint their mixture."""
        import torch

        model, reference = case.model, case.reference
        mean = reference.weights.mean(0)
        chosen = mean.abs().argsort(descending=True)[: self.prompts]
        weights = (mean[chosen] / mean[chosen].sum().clamp(min=0.1)).float()
        names = [reference.others[int(one)] for one in chosen]
        told = torch.stack(
            [
                model.rows([case.contexts[i % len(case.contexts)].format(name) for i in range(case.pictures)])
                for name in names
            ],
            dim=1,
        )

        def ask(latents: Any, times: Any, rows: Any, empty: Any) -> Any:
            away = model.answer(latents, times, empty.expand(len(latents), -1, -1))
            parts = [model.answer(latents, times, rows[:, k]) for k in range(len(names))]
            mixed = sum(weight * part for weight, part in zip(weights, parts, strict=True))
            return away + case.guidance * (mixed - away)

        done = denoise(model, told, case.seeds, case.steps, case.guidance, ask=ask)
        mixture = {name: round(float(weight), 3) for name, weight in zip(names, weights, strict=True)}
        return Outcome(model.decode(done), {"mixture": mixture})
