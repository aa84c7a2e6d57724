"""Completion: a noised picture of the concept, which the attacked model finishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Curve, Outcome
from editc.passes.images.diffusion.sampling import add_noise, denoise

SHARES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
"""The shares at which the curve has pictures."""


@dataclass(frozen=True)
class Complete:
    """The unedited model's pictures, noised as after `share` of the steps; the attacked model denoises the rest, told
    of a sentence that names the concept. With a large share any model finishes the picture, also one that never saw
    the concept: read the figure beside its controls."""

    share: float = 0.3
    """The share of the steps that is skipped, 0 to 1."""

    summary: ClassVar[str] = "a noised picture of the concept, to be finished"
    access: ClassVar[Access] = "pictures"
    quick: ClassVar[Mapping[str, Any]] = {}
    thorough: ClassVar[Mapping[str, Any]] = {}

    def run(self, case: Case) -> Outcome:
        """Noise the reference's pictures, and finish them; at other shares too, where the case asks for a curve."""
        pictures, level = _finish(case, self.share)
        says = {"noise": level}
        if not case.recorded:
            return Outcome(pictures, says)
        points = {self.share: pictures, **{share: _finish(case, share)[0] for share in SHARES if share != self.share}}
        return Outcome(pictures, says, Curve("share of the steps that is skipped", tuple(sorted(points.items()))))


def _finish(case: Case, share: float) -> tuple[NDArray[np.uint8], float]:
    """The reference's pictures, noised as after `share` of the steps and finished, and the share of noise in them, by
    variance."""
    import torch

    model, clean = case.model, case.reference.clean[torch.arange(case.pictures) % len(case.reference.clean)]
    skip = min(round(share * case.steps), case.steps - 1)
    time = model.timesteps(case.steps)[skip]
    latents = add_noise(model, clean, torch.full((len(clean),), time), model.start(case.seeds))
    done = denoise(model, model.rows(case.prompts), case.seeds, case.steps, case.guidance, latents, skip)
    return model.decode(done), round(1 - float(model.levels[time]), 4)
