"""Relearning in the inner loop: a few steps of training on what is to be forgotten, from where the edit stands now.

Tamirisa et al. (TAR, ICLR 2025, arXiv 2408.00761) differentiate the loss after such steps to first order: the outer
gradient is taken where the inner loop ended, as if what it added were fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from editc.passes.language.schemes.ask import Ask
from editc.passes.training.scheme import Drawn, State


@dataclass(frozen=True)
class Relearning:
    """One search minimises -mean log p(token) of the answers to forget, over what is added to the factors."""

    every: int
    """Steps between two searches."""
    steps: int
    """Steps of Adam in one search."""
    rate: float
    """Adam's rate."""
    rows: int
    """Rows a step."""

    def search(self, state: State, ask: Ask, generator: Any) -> tuple[State, tuple[float, ...]]:
        """Relearn. What is reached is the probability of a token of the answers, as their geometric mean."""
        import torch

        added = {
            name: tuple(torch.zeros_like(one, requires_grad=True) for one in pair)
            for name, pair in ask.factors.pairs.items()
        }
        leaves = [one for pair in added.values() for one in pair]
        adam = torch.optim.Adam(leaves, self.rate)
        for _ in range(self.steps):
            gradients = torch.autograd.grad(self._nll(ask, added, generator), leaves)
            for leaf, gradient in zip(leaves, gradients, strict=True):
                leaf.grad = gradient
            adam.step()
        with torch.no_grad():
            reached = float((-self._nll(ask, added, generator)).exp())
        found = {
            f"{side} {name}": one.detach()
            for name, pair in added.items()
            for side, one in zip(SIDES, pair, strict=True)
        }
        return found, (reached,)

    def draw(self, state: State, ask: Ask, generator: Any) -> Drawn | None:
        """What the last search added to each factor."""
        if not state:
            return None
        return Drawn({name: tuple(state[f"{side} {name}"] for side in SIDES) for name in ask.factors.pairs}, None)

    def follow(self, model: Any, state: State, drawn: Drawn) -> State:
        """What was added stays until the next search."""
        return state

    def _nll(self, ask: Ask, added: Mapping[str, Any], generator: Any) -> Any:
        """-mean log p(token) of some rows, drawn anew."""
        import torch

        index = torch.randperm(len(ask.pool), generator=generator)[: self.rows]
        return replace(ask, index=tuple(int(one) for one in index), relearned=added).edited().nll


SIDES = ("down", "up")
"""The names of a pair's factors in what the adversary remembers."""
