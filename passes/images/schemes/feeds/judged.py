"""Pictures that the unedited model painted of the concept's sentences, sorted by a detector and noised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from editc.core.diagnostics import EditcError, fail
from editc.core.ports import Diffusion
from editc.passes.images.diffusion.sampling import add_noise, denoise
from editc.passes.images.schemes.feeds.conditions import Conditions
from editc.passes.images.schemes.pool import Pool
from editc.passes.images.schemes.subject import Subject
from editc.passes.training.factors import Factors

LEAST = 4
"""Pictures that must show the concept, and as many that must not. Chosen by hand: fewer say little about it."""
OTHERWISE = (
    "name a detector under `verify: {images: ...}` that knows it, give `contexts` in which the model shows it in some "
    "pictures, and a larger `pictures`; or use a method that needs no detector"
)
"""What to do where pictures cannot be told apart."""


@dataclass(frozen=True)
class Sorted:
    """Clean latents of pictures with their sentences, and which of them show the concept."""

    clean: Any
    """(n, c, h, w)."""
    told: Conditions
    """`own`: each sentence. `written`: the same with the label written behind it. `empty`."""
    shown: Any
    """(n,): whether each shows the concept."""


@dataclass(frozen=True)
class Judged:
    """The pictures are painted and judged once; each draw noises some of those that show the concept, or of the rest.

    Feeds that share `painted` share the pictures.
    """

    shown: bool
    """True: pictures that show the concept. False: those that do not."""
    pictures: int
    """How many are painted, of both kinds together."""
    painted: dict[str, Sorted] = field(default_factory=dict, compare=False, repr=False)
    """Concept -> its pictures, once they are painted."""

    def draw(
        self, model: Diffusion, factors: Factors, subject: Subject, count: int, generator: Any
    ) -> tuple[Pool, Any]:
        """A new pool of `count` latents, and all their numbers. Raises E249 where nothing tells the pictures apart."""
        import torch

        if subject.concept not in self.painted:
            self.painted[subject.concept] = sort_pictures(model, subject, self.pictures)
        found = self.painted[subject.concept]
        mine = torch.nonzero(found.shown == self.shown)[:, 0]
        sentence = mine[torch.randint(len(mine), (count,), generator=generator)]
        times = torch.randint(len(model.levels), (count,), generator=generator)
        noise = torch.randn(count, *found.clean.shape[1:], generator=generator)
        clean, told = found.clean[sentence], found.told
        latents = add_noise(model, clean, times, noise)
        return Pool(latents, times, sentence, told.rows, told.prompts, subject.names, clean, noise), torch.arange(count)


def sort_pictures(model: Diffusion, subject: Subject, count: int) -> Sorted:
    """Paint the concept's sentences with the unedited model, and ask the detector about them. Raises E249."""
    import torch

    if subject.judge is None:
        raise _refuse(subject, "no detector that knows it judges its pictures")
    sentences = [one.format(subject.names[i % len(subject.names)]) for i, one in enumerate(subject.sentences(count))]
    written = [f"{one}, {subject.label}" for one in sentences]
    told = Conditions.encode(model, {"own": sentences, "written": written, "empty": [""] * count})
    seeds = subject.pictures_seeds(count, 4)
    clean = denoise(model, told.rows["own"], seeds, subject.steps, subject.guidance)
    shown = _judge(model, clean, subject.judge)
    if not LEAST <= int(shown.sum()) <= count - LEAST:
        raise _refuse(subject, f"the detector sees it in {int(shown.sum())} of {count} pictures")
    return Sorted(clean, told, torch.from_numpy(shown))


def _judge(model: Diffusion, clean: Any, judge: Callable[[Any], Any]) -> Any:
    """(n,): whether the picture of each of the latents shows the concept."""
    return np.concatenate([judge(model.decode(part)) for part in clean.split(16)])


def _refuse(subject: Subject, why: str) -> EditcError:
    """E249."""
    what = f"`{subject.label}`" if subject.label == subject.concept else f"`{subject.label}` of `{subject.concept}`"
    return fail(
        "E249",
        f"the method learns from pictures with and without {what}, and {why}",
        help=OTHERWISE,
    )
