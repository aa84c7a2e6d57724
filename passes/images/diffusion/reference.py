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
from editc.passes.images.diffusion.sampling import denoise

RIDGE = 0.01
"""The ridge of the projection onto the other answers, relative to the mean of the Gram matrix's diagonal. Taken from
the experiment that found the residual (see docs/reference/attacks.md)."""
SETTLED = 0.5
"""The part of a picture's steps whose latents attacks aim at: what it shows is settled in the first half (measured on
the demo model)."""
GUIDANCE = 3.0
"""The guidance of the pictures. Attacks that aim at latents on the way of such pictures bring a trained erasure back
more often than those that aim at noised pictures, also when they paint with 7.5 (docs/reference/attacks.md)."""
BATCH = 32
"""Latents asked at a time."""


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
        r = self.residual[index]
        return ((answers - self.mixture[index]) * r).flatten(1).sum(1) / r.flatten(1).square().sum(1)

    def distance(self, answers: Any, index: Any) -> Any:
        """(k,): |v - v_c|^2 / |r|^2 of the same."""
        whole = self.residual[index].flatten(1).square().sum(1)
        return (answers - self.own[index]).flatten(1).square().sum(1) / whole


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
    own = _answers(model, latents, times, rows[index])
    other = torch.stack([_answers(model, latents, times, model.rows(one)[index]) for one in others], dim=1)
    mixture, weights = project(own, other)
    found = model.decode(clean)
    return Reference(found, clean, latents, times, own, mixture, weights, tuple(names), index)


def project(own: Any, others: Any, ridge: float = RIDGE) -> tuple[Any, Any]:
    """The ridge projection (m, c, h, w) of `own` (m, c, h, w) onto the affine hull of `others` (m, j, c, h, w), and the
    weights (m, j), which sum to 1. In float64."""
    import torch

    flat = others.flatten(2).double()
    mean = flat.mean(1, keepdim=True)
    away, aim = flat - mean, own.flatten(1).double() - mean[:, 0]
    gram = away @ away.transpose(1, 2)
    level = gram.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-30) * ridge
    eye = torch.eye(gram.shape[1], dtype=gram.dtype)
    factor = torch.linalg.cholesky(gram + level[:, None, None] * eye)
    parts = torch.cholesky_solve((away @ aim[:, :, None]), factor)[:, :, 0]
    found = mean[:, 0] + (parts[:, None] @ away)[:, 0]
    weights = parts - parts.mean(1, keepdim=True) + 1 / others.shape[1]
    return found.to(own.dtype).view_as(own), weights


def own_share(reference: Reference, toward: Any) -> float:
    """`own`: the median of |r|^2 / |v_c - v_t|^2 over the latents, v_t (m, c, h, w) the unedited model's answers
    to the target. How much of the concept no mixture of the others predicts."""
    whole = (reference.own - toward).flatten(1).square().sum(1)
    return float((reference.residual.flatten(1).square().sum(1) / whole).median())


def _answers(model: Diffusion, latents: Any, times: Any, rows: Any) -> Any:
    import torch

    with torch.no_grad():
        parts = [slice(start, start + BATCH) for start in range(0, len(latents), BATCH)]
        return torch.cat([model.answer(latents[part], times[part], rows[part]) for part in parts])
