"""A critic that learns to tell answers to the concept from answers to the target (DoCo, Wu et al., AAAI 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from editc.core.ports import Diffusion
from editc.passes.images.diffusion.sampling import clean_of
from editc.passes.images.schemes.ask import Ask
from editc.passes.training.scheme import Drawn, State

SLOPE = 0.2
"""The slope of its leaky rectifiers (published)."""


@dataclass(frozen=True)
class Critic:
    """Four convolutions of 3 x 3 over clean latents give one score for each place: above 0 where the critic takes them
    for the unedited model's answer to the target. Before each search it has seen the edited model as it is then.

    A search is one step of Adam down mean softplus(-score(target)) + mean softplus(score(concept)).
    """

    every: int = 1
    """Steps of training between two steps of the critic."""
    rate: float = 5e-4
    """Adam's rate (published: 1e-4 to 5e-4)."""
    width: int = 32
    """Channels after the first convolution; those after the second and third are twice as many."""

    def search(self, state: State, ask: Ask, generator: Any) -> tuple[State, tuple[float, ...]]:
        """One step of the critic, on latents of the pool."""
        import torch
        from torch.nn.functional import softplus

        state = state or self._start(ask.pool.latents.shape[1], generator)
        weights = {name: one.clone().requires_grad_(True) for name, one in weights_of(state).items()}
        with torch.no_grad():
            target, concept = clean_answers(ask, ask.frozen("target")), clean_answers(ask, ask.edited())
        loss = softplus(-score(weights, target)).mean() + softplus(score(weights, concept)).mean()
        gradients = torch.autograd.grad(loss, list(weights.values()))
        return self._step(state, dict(zip(weights, gradients, strict=True))), ()

    def draw(self, state: State, ask: Ask, generator: Any) -> Drawn | None:
        """None: the sentences' own rows are asked."""
        return None

    def follow(self, model: Diffusion, state: State, drawn: Drawn) -> State:
        """The critic stays until the next search."""
        return state

    def _start(self, channels: int, generator: Any) -> State:
        """The critic's random weights."""
        import torch

        sizes = (channels, self.width, 2 * self.width, 2 * self.width, 1)
        found: dict[str, Any] = {"steps": torch.zeros(())}
        for number, (seen, made) in enumerate(pairwise(sizes)):
            found[f"kernel {number}"] = torch.randn(made, seen, 3, 3, generator=generator) / (9 * seen) ** 0.5
            found[f"bias {number}"] = torch.zeros(made)
        return found

    def _step(self, state: State, gradients: Mapping[str, Any]) -> State:
        """Adam with the decay rates 0.5 and 0.999 (published)."""
        import torch

        steps = float(state["steps"]) + 1
        found: dict[str, Any] = {"steps": torch.tensor(steps)}
        for name, gradient in gradients.items():
            mean = 0.5 * state.get(f"mean of {name}", torch.zeros_like(gradient)) + 0.5 * gradient
            square = 0.999 * state.get(f"square of {name}", torch.zeros_like(gradient)) + 0.001 * gradient.square()
            size = (square / (1 - 0.999**steps)).sqrt() + 1e-8
            found[name] = state[name] - self.rate * mean / (1 - 0.5**steps) / size
            found |= {f"mean of {name}": mean, f"square of {name}": square}
        return found


def weights_of(state: State) -> dict[str, Any]:
    """The critic's kernels and biases by name."""
    return {name: one for name, one in state.items() if name.startswith(("kernel ", "bias "))}


def score(weights: Mapping[str, Any], clean: Any) -> Any:
    """(n, 1, h, w): what the critic makes of clean latents (n, c, h, w)."""
    from torch.nn.functional import conv2d, leaky_relu

    last = len(weights) // 2 - 1
    for number in range(last + 1):
        clean = conv2d(clean, weights[f"kernel {number}"], weights[f"bias {number}"], padding=1)
        clean = clean if number == last else leaky_relu(clean, SLOPE)
    return clean


def clean_answers(ask: Ask, answers: Any) -> Any:
    """(k, c, h, w): the clean latents that answers to the latents of `ask` stand for."""
    return clean_of(ask.model, ask.pool.latents[ask.index], ask.pool.times[ask.index], answers)
