"""The concept's own residual: what attacks go for, and what `forget` pushes away.

Answers are those of a denoiser to n latents, (n, c, h, w): v of the model that is judged, v_c of the unedited model to
the concept, h the best mixture of its answers to other names, r = v_c - h.
"""

from __future__ import annotations

from typing import Any

from editc.core.ports import Diffusion

RIDGE = 0.01
"""The ridge of the projection onto the other answers, relative to the mean of the Gram matrix's diagonal. Taken from
the experiment that found the residual (see docs/reference/attacks.md)."""
DISTANCE = 0.1
"""The weight of the whole answer's distance beside the residual's share in what a search minimises. Taken from the same
experiment."""
BATCH = 32
"""Latents asked at a time. Chosen by hand: larger batches are no faster on two cores."""


def residual_share(answers: Any, own: Any, mixture: Any) -> Any:
    """(n,): s = <v - h, r> / |r|^2. 1: as much of the concept as the unedited model's answer; 0: none."""
    r = own - mixture
    return ((answers - mixture) * r).flatten(1).sum(1) / r.flatten(1).square().sum(1)


def residual_distance(answers: Any, own: Any, mixture: Any) -> Any:
    """(n,): |v - v_c|^2 / |r|^2."""
    return (answers - own).flatten(1).square().sum(1) / (own - mixture).flatten(1).square().sum(1)


def own_share(own: Any, mixture: Any, toward: Any) -> float:
    """`own`: the median of |r|^2 / |v_c - v_t|^2, v_t (n, c, h, w) the unedited model's answers to the target. How much
    of the concept no mixture of the others predicts."""
    whole = (own - toward).flatten(1).square().sum(1)
    return float(((own - mixture).flatten(1).square().sum(1) / whole).median())


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


def ask_in_batches(model: Diffusion, latents: Any, times: Any, rows: Any) -> Any:
    """(n, c, h, w): the model's answers to latents (n, c, h, w) at timesteps (n,), told of rows (n, t, d); without
    gradients."""
    import torch

    with torch.no_grad():
        parts = [slice(start, start + BATCH) for start in range(0, len(latents), BATCH)]
        return torch.cat([model.answer(latents[part], times[part], rows[part]) for part in parts])
