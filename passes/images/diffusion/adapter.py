"""A LoRA beside a model's layers, for as long as an attack trains it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from editc.core.ports import Diffusion


@dataclass(frozen=True)
class Adapter:
    """Factors of a LoRA, one pair a layer."""

    parameters: tuple[Any, ...]
    """Down (r, d_in) and up (d_out, r) of each layer in turn; up is 0 at first."""


@contextmanager
def attach_adapter(model: Diffusion, rank: int, seed: int, part: str = "attn2") -> Iterator[Adapter]:
    """The model with a LoRA on each linear layer whose name has `part` in it; as it was afterwards."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    pairs: list[Any] = []
    hooks = []
    for name, module in model.network.named_modules():
        if part in name and isinstance(module, torch.nn.Linear):
            down = torch.randn(rank, module.in_features, generator=generator) / module.in_features**0.5
            pair = torch.nn.Parameter(down), torch.nn.Parameter(torch.zeros(module.out_features, rank))
            pairs += pair
            hooks.append(module.register_forward_hook(partial(_add, *pair)))
    try:
        yield Adapter(tuple(pairs))
    finally:
        for hook in hooks:
            hook.remove()


def _add(down: Any, up: Any, module: Any, given: Any, made: Any) -> Any:
    """Add up down x to what the layer made of x, on the device and in the dtype of x."""
    return made + (given[0] @ down.to(given[0]).T) @ up.to(given[0]).T
