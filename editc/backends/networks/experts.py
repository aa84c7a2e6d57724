"""What one expert of a layer reads. transformers stacks the experts of a layer in one module, which gets the states of
all tokens and, for each, the experts that the router chose with their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Expert:
    """One expert of a stack."""

    stack: Any
    """The module of the layer's experts, as in Mixtral and Qwen 3: `gate_up_proj` (experts, 2 d_in, d), `down_proj`
    (experts, d, d_in)."""
    number: int
    """Which expert of it."""

    def keys(self, given: tuple[Any, ...]) -> Any:
        """(tokens, d_in): what the expert's output matrix reads at each token times the router's weight, from the
        arguments of the stack. Zeros at tokens that go to other experts.

        The matrix times this is what the expert adds to the layer's output, so an edit may treat it as a key.
        """
        import torch

        states, chosen, weights = given[:3]
        weight = (weights * (chosen == self.number)).sum(-1)
        gate, up = torch.nn.functional.linear(states, self.stack.gate_up_proj[self.number]).chunk(2, dim=-1)
        inner = self.stack.act_fn(gate) * up
        return torch.where(weight[:, None] != 0, inner * weight[:, None], torch.zeros_like(inner))
