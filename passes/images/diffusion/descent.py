"""Descent by gradient with a falling rate: the loop that attacks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

WINDOW = 10
"""Steps over which a loss is averaged before it is compared: each step sees few latents. Chosen by hand."""


def descend(
    found: Any,
    loss: Callable[[Any, int], Any],
    steps: int,
    rate: float,
    project: Callable[[Any], Any] | None = None,
    floor: float = 0.1,
    decay: float = 0.0,
    enough: float = 0.0,
) -> Any:
    """Adam on `found`, `steps` times; the rate falls from `rate` to `floor` times it, as the square of what is left.

    `loss` takes the tensor and the number of the step and gives the loss of each start, (n,). `project` brings the
    tensor back into its set after each step. `decay` is AdamW's. The descent ends early when the loss of half of the
    starts is below `enough`, averaged over the last steps. Returns the tensor without a gradient.
    """
    import torch

    found = found.detach().clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([found], rate, weight_decay=decay)
    seen: list[Any] = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (floor + (1 - floor) * (1 - step / steps) ** 2)
        optimizer.zero_grad()
        losses = loss(found, step).reshape(-1)
        seen.append(losses.detach())
        if enough and _reached(seen, enough):
            break
        (found.grad,) = torch.autograd.grad(losses.sum(), found)
        optimizer.step()
        if project is not None:
            with torch.no_grad():
                found.copy_(project(found))
    return found.detach()


def _reached(seen: list[Any], enough: float) -> bool:
    """True if the mean of the last losses is at most `enough` for half of the starts."""
    import torch

    if len(seen) < WINDOW:
        return False
    return float(torch.stack(seen[-WINDOW:]).mean(0).median()) <= enough
