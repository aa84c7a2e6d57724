"""TINA: no text at all. A picture of the concept is inverted into noise with the empty prompt, and the empty prompt
paints it again (CVPR 2026, arXiv 2603.17828)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.diffusion.sampling import denoise


@dataclass(frozen=True)
class Untexted:
    """Pictures that the unedited model painted, inverted step by step through the attacked model. Each step looks for
    the latents from which one DDIM step leads exactly to the ones at hand. An edit that only changes how text is read
    cannot answer this attack: its empty prompt paints as before.

    The published attack follows a gradient, 50 steps of Adam. Ours corrects the latents by what the step misses, which
    needs no gradient and comes nearer: on the demo model three corrections leave a thirtieth of the error of ten
    steps of Adam."""

    steps: int = 5
    """Corrections for each DDIM step. The best of them is used."""

    summary: ClassVar[str] = "the empty prompt, from noise to which pictures of the concept were inverted"
    access: ClassVar[Access] = "pictures"
    quick: ClassVar[Mapping[str, Any]] = {"steps": 3}
    thorough: ClassVar[Mapping[str, Any]] = {"steps": 12}

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
        found = tried = after
        least = torch.full((len(after),), torch.inf)
        with torch.no_grad():
            for _ in range(self.steps + 1):
                missed = after - model.step(model.answer(tried, times, rows), time, tried)
                error = missed.square().flatten(1).mean(1)
                found = torch.where((error < least)[:, None, None, None], tried, found)
                least = torch.minimum(error, least)
                tried = tried + missed
        return found
