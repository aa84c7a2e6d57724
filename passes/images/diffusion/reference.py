"""What the unedited model makes of a concept: the pictures and answers that attacks aim at.

At latents on the way to pictures of the concept let v_c be the unedited model's answer to a sentence that names the
concept, v_j its answers to the same sentence with other names, and h the ridge projection of v_c onto the affine hull
of the v_j. The concept's own residual is r = v_c - h: what no mixture of the others predicts. An answer v has

    s = <v - h, r> / |r|^2      1: as much of the concept as the unedited model's answer; 0: none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.core.ports import Diffusion
from editc.passes.images.diffusion.residual import ask_in_batches, project, residual_distance, residual_share
from editc.passes.images.diffusion.sampling import denoise

SETTLED = 0.5
"""The part of a picture's steps whose latents attacks aim at: what it shows is settled in the first half (measured on
the demo model)."""
GUIDANCE = 3.0
"""The guidance of the pictures. Attacks that aim at latents on the way of such pictures bring a trained erasure back
more often than those that aim at noised pictures, also when they paint with 7.5 (docs/reference/attacks.md)."""


@dataclass(frozen=True)
class Reference:
    """The unedited model's pictures of a concept, latents on the way to them, and its answers. Arrays are float32."""

    pictures: NDArray[np.uint8]
    """(n, h, w, 3): what it paints for sentences that name the concept."""
    clean: Any
    """(n, c, h, w): their latents."""
    latents: Any
    """(m, c, h, w): latents on the way from noise to these pictures."""
    times: Any
    """(m,): their timesteps."""
    own: Any
    """(m, c, h, w): its answers to a sentence that names the concept, v_c."""
    mixture: Any
    """(m, c, h, w): the best mixture of its answers to other names, h."""
    weights: Any
    """(m, j): the mixture's weights of the other names; they sum to 1."""
    others: tuple[str, ...]
    """(j,): the other names."""
    sentences: Any
    """(m,): for each latent the number of the sentence that `own` was told of."""
    near: tuple[str, ...] = ()
    """Words of the vocabulary that the manifest does not list, those nearest to the concept by the rows first."""
    words: tuple[str, ...] = ()
    """Those of `near` that the unedited model takes for the concept, the surest first."""

    @property
    def residual(self) -> Any:
        """(m, c, h, w): what no mixture of the others predicts, r."""
        return self.own - self.mixture

    def share(self, answers: Any, index: Any) -> Any:
        """(k,): s of answers (k, c, h, w) for the latents `index` (k,)."""
        return residual_share(answers, self.own[index], self.mixture[index])

    def distance(self, answers: Any, index: Any) -> Any:
        """(k,): |v - v_c|^2 / |r|^2 of the same."""
        return residual_distance(answers, self.own[index], self.mixture[index])


def make_reference(
    model: Diffusion,
    sentences: Sequence[str],
    others: Sequence[Sequence[str]],
    names: Sequence[str],
    seed: int,
    each: int,
    steps: int,
    guidance: float = GUIDANCE,
) -> Reference:
    """Paint each sentence with the unedited `model` in so many steps, and ask it about `each` latents on the way to
    each picture, drawn from the first half of the steps.

    `others` holds, for each of `names`, the sentences with that name in the concept's place.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng([seed, 0x5EED])
    rows = model.rows(sentences)
    seeds = [int(one) for one in rng.integers(2**31, size=len(sentences))]
    way: dict[int, list[Any]] = {}

    def watch(latents: Any, time: int) -> None:
        way.setdefault(time, []).append(latents)

    clean = denoise(model, rows, seeds, steps, guidance, watch=watch)
    index = torch.arange(len(sentences)).repeat_interleave(each)
    early = list(way)[: max(1, round(SETTLED * steps))]
    drawn = torch.randint(len(early), (len(index),), generator=generator)
    times = torch.tensor(early)[drawn]
    latents = torch.stack([torch.cat(way[time]) for time in early])[drawn, index]
    own = ask_in_batches(model, latents, times, rows[index])
    other = torch.stack([ask_in_batches(model, latents, times, model.rows(one)[index]) for one in others], dim=1)
    mixture, weights = project(own, other)
    found = model.decode(clean)
    return Reference(found, clean, latents, times, own, mixture, weights, tuple(names), index)
