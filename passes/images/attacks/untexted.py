"""TINA: no text at all. A picture of the concept is inverted into noise with the empty prompt, and the empty prompt
paints it again (CVPR 2026, arXiv 2603.17828)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.diffusion.descent import descend
from editc.passes.images.diffusion.sampling import denoise


@dataclass(frozen=True)
class Untexted:
    """Pictures that the unedited model painted, inverted step by step through the attacked model. Each step looks for
    the latents from which one DDIM step leads exactly to the ones at hand. An edit that only changes how text is read
    cannot answer this attack: its empty prompt paints as before."""

    steps: int = 50
    """Steps of Adam for each DDIM step, as published."""
    rate: float = 1e-2
    """Adam's first rate; published: 1e-3."""

    summary: ClassVar[str] = "the empty prompt, from noise to which pictures of the concept were inverted"
    access: ClassVar[Access] = "pictures"
    quick: ClassVar[Mapping[str, Any]] = {"steps": 3}
    thorough: ClassVar[Mapping[str, Any]] = {"steps": 10}

    def run(self, case: Case) -> Outcome:
        """Invert the reference's pictures, and paint them again."""
        import torch

        model = case.model
        clean = case.reference.clean[torch.arange(case.pictures) % len(case.reference.clean)]
        rows = model.rows([""]).expand(len(clean), -1, -1)
        latents = clean
        for time in reversed(model.timesteps(case.steps)):
            latents = self._before(model, latents, time, rows)
        again = denoise(model, rows, case.seeds, case.steps, 1.0, latents)
        miss = (again - clean).square().mean() / clean.square().mean()
        return Outcome(model.decode(again), {"miss": round(float(miss), 4)})

    def _before(self, model: Any, after: Any, time: int, rows: Any) -> Any:
        """The latents from which a step at `time` leads to `after`."""
        import torch

        times = torch.full((len(after),), time)

        def loss(latents: Any, step: int) -> Any:
            led = model.step(model.answer(latents, times, rows), time, latents)
            return (led - after).square().flatten(1).mean(1)

        return descend(after, loss, self.steps, self.rate * float(after.square().mean().sqrt()))
