"""The certificate's minimiser as adversary: the rows that come nearest to the concept in keys and values, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from editc.core.ports import Diffusion
from editc.numerics import trust
from editc.numerics.ball import join_balls
from editc.passes.images.schemes.ask import Ask
from editc.passes.training.scheme import Drawn, State


@dataclass(frozen=True)
class Exact:
    """A search solves, for each row c of a sentence, min_x sum |W' x - W c|^2 over the encoder's ball; W' are the keys
    and values of the moment. No step size, no start and no local minimum: what it finds no search of that aim beats.
    Rows that reach the concept by other keys and values are not seen (docs/explanation/certificate.md)."""

    every: int = 20
    """Steps between two searches."""
    share: float = 0.5
    """The share of a step's latents that are told of the found rows; the others are told of the sentences."""

    def search(self, state: State, ask: Ask, generator: Any) -> tuple[State, tuple[float, ...]]:
        """Solve for every sentence of the pool."""
        import torch

        with ask.model.use_weights(ask.factors.written(ask.model.network)):
            sums = ask.model.text_grams()
        rows = ask.pool.rows["own"]
        keys = rows[:, 1:].reshape(-1, rows.shape[-1]).double().numpy().T
        problem = trust.nearest_problem(join_balls(ask.model.balls()), *sums)
        points = torch.from_numpy(np.ascontiguousarray(problem.minimise(keys).points.T)).float()
        found = torch.cat([rows[:, :1], points.view(len(rows), -1, rows.shape[-1])], dim=1)
        return {"rows": found}, ()

    def draw(self, state: State, ask: Ask, generator: Any) -> Drawn | None:
        """The found rows of each latent's own sentence, for a share of the latents."""
        import torch

        count = round(self.share * len(ask.index))
        rows = ask.pool.told("own", ask.index).clone()
        rows[:count] = state["rows"][ask.pool.sentence[ask.index[:count]]]
        return Drawn(rows, torch.full((len(rows),), -1))

    def follow(self, model: Diffusion, state: State, drawn: Drawn) -> State:
        """The rows stay until the next search."""
        return state
