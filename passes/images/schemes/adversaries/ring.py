"""RealEra's second stage (Liu et al., 2024, arXiv 2410.09140): the concept's rows, perturbed at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.ports import Diffusion
from editc.passes.images.schemes.ask import Ask
from editc.passes.training.scheme import Drawn, State


@dataclass(frozen=True)
class Ring:
    """Rows e + n with |n| = u `radius` |e|, u uniform in (0, 1) for each row; BOS stays."""

    radius: float = 0.5
    """The largest perturbation, as a share of a row's norm."""
    every: ClassVar[int] = 0

    def search(self, state: State, ask: Ask, generator: Any) -> tuple[State, tuple[float, ...]]:
        """Nothing is searched."""
        return state, ()

    def draw(self, state: State, ask: Ask, generator: Any) -> Drawn | None:
        """Perturbed rows of each latent's own sentence."""
        import torch

        rows = ask.pool.told("own", ask.index)
        noise = torch.randn(rows.shape, generator=generator)
        size = self.radius * torch.rand(*rows.shape[:2], 1, generator=generator) * rows.norm(dim=-1, keepdim=True)
        noise = size * noise / noise.norm(dim=-1, keepdim=True)
        noise[:, 0] = 0
        return Drawn(ask.model.into_ball(rows + noise), torch.full((len(rows),), -1))

    def follow(self, model: Diffusion, state: State, drawn: Drawn) -> State:
        """Nothing moves."""
        return state
