"""Descent by gradient with a falling rate: the loop that attacks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def descend(
    found: Any,
    loss: Callable[[Any, int], Any],
    steps: int,
    rate: float,
    project: Callable[[Any], Any] | None = None,
    floor: float = 0.1,
    decay: float = 0.0,
) -> Any:
    """Adam on `found`, `steps` times; the rate falls from `rate` to `floor` times it, as the square of what is left.

    `loss` takes the tensor and the number of the step. `project` brings the tensor back into its set after each step.
    `decay` is AdamW's. Returns the tensor without a gradient.
    """
    import torch

    found = found.detach().clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([found], rate, weight_decay=decay)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (floor + (1 - floor) * (1 - step / steps) ** 2)
        optimizer.zero_grad()
        (found.grad,) = torch.autograd.grad(loss(found, step), found)
        optimizer.step()
        if project is not None:
            with torch.no_grad():
                found.copy_(project(found))
    return found.detach()
