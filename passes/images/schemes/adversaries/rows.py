"""Rows in the text encoder's ball, found by gradient in rounds, with a memory of all that were found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from editc.core.ports import Diffusion
from editc.passes.images.diffusion.descent import descend
from editc.passes.images.diffusion.residual import BATCH, DISTANCE
from editc.passes.images.schemes.ask import Ask
from editc.passes.training.scheme import Drawn, State

FROM_SEARCH, FROM_MEMORY = 8 / 15, 5 / 15
"""Shares of a step's latents that are told of rows of the last search, and of remembered ones; the rest are told of
the concept's own sentences. Taken from the experiment that found the recipe."""


@dataclass(frozen=True)
class RowSearch:
    """Rows behind BOS, learned from sentences of the concept, the empty prompt, other names, preserved prompts, and
    from those of earlier searches that show most."""

    every: int = 40
    """Steps between two searches."""
    steps: int = 60
    """Steps of one search."""
    long_after: int = 9
    """How many searches have `steps`. Later ones have `long_steps`: a model that holds against short searches gives way
    to long ones (docs/explanation/forget.md)."""
    long_steps: int = 200
    """Steps of a search after `long_after` of them."""
    latents: int = 4
    """Latents a step, for each start."""
    rate: float = 0.5
    """Adam's first rate. 60 steps at 0.5 find what 150 find at 0.1 (docs/explanation/forget.md)."""
    hardest: int = 6
    """How many remembered rows each search goes on from. Rows that are attacked over many rounds find what fresh rows
    do not (docs/explanation/forget.md)."""
    replayed: int = 24
    """How many remembered rows are trained on until the next search: those that show most of the concept."""
    follow_rate: float = 0.015
    """How far the rows of the last search move up the gradient of each training step, in signs."""

    def search(self, state: State, ask: Ask, generator: Any) -> tuple[State, tuple[float, ...]]:
        """Attack the edited model, and remember what was found.

        Its factors are added into its weights meanwhile: beside them they cost a quarter more, and none is trained.
        """
        import torch

        done = int(state["searches"]) if state else 0
        ask.frozen(), ask.mixture  # asked before the weights are others
        with ask.model.use_weights(ask.factors.written(ask.model.network)):
            ranked = _ranked(state, ask, generator)
            begin = torch.cat([self._starts(ask, generator), ranked[: self.hardest]])
            found = self._descend(begin, done, ask, generator)
            reached = _reached(ask, found, 16, generator)
        memory = torch.cat([state["memory"], found]) if state else torch.cat([ask.pool.rows["own"][:4], found])
        hard = torch.cat([ranked[: self.replayed], found])
        kept = {"new": found, "memory": memory, "hard": hard, "searches": torch.tensor(done + 1.0)}
        return kept, tuple(round(float(one), 4) for one in reached)

    def _descend(self, begin: Any, done: int, ask: Ask, generator: Any) -> Any:
        """(r, t, d): where the rows `begin` come to in the search after `done` others. BOS stays."""
        import torch

        model, first = ask.model, begin[:, :1].clone()

        def keep_first(rows: Any) -> Any:
            return torch.cat([first, model.into_ball(rows[:, 1:])], dim=1)

        def loss(rows: Any, step: int) -> Any:
            return _aim(*_told(ask, rows, self.latents, generator)).sum() / self.latents

        return descend(begin, loss, self.long_steps if done >= self.long_after else self.steps, self.rate, keep_first)

    def draw(self, state: State, ask: Ask, generator: Any) -> Drawn | None:
        """Rows of the last search, hard remembered ones, and the concept's own sentences."""
        import torch

        count = len(ask.index)
        new, old = round(count * FROM_SEARCH), round(count * FROM_MEMORY)
        which = torch.randint(len(state["new"]), (new,), generator=generator)
        past = torch.randint(len(state["hard"]), (old,), generator=generator)
        own = ask.pool.told("own", ask.index[new + old :])
        rows = torch.cat([state["new"][which], state["hard"][past], own]).requires_grad_(True)
        return Drawn(rows, torch.cat([which, torch.full((count - new,), -1)]))

    def follow(self, model: Diffusion, state: State, drawn: Drawn) -> State:
        """Move the rows of the last search by the sign of the gradient; BOS stays."""
        import torch

        new = state["new"].clone()
        with torch.no_grad():
            for number, gradient in zip(drawn.which.tolist(), drawn.rows.grad, strict=True):
                if number >= 0:
                    moved = new[number] + self.follow_rate * gradient.sign()
                    new[number, 1:] = model.into_ball(moved)[1:]
        return {**state, "new": new}

    def _starts(self, ask: Ask, generator: Any) -> Any:
        """(4, t, d): two sentences of the concept, the empty prompt, and another name."""
        import torch

        def pick(tensor: Any) -> Any:
            return tensor[int(torch.randint(len(tensor), (1,), generator=generator))]

        rows, others = ask.pool.rows, ask.pool.others
        other = rows[others[int(torch.randint(len(others), (1,), generator=generator))]]
        return torch.stack([pick(rows["own"]), pick(rows["own"]), rows["empty"][0], pick(other)])


def _ranked(state: State, ask: Ask, generator: Any) -> Any:
    """(m, t, d): the remembered rows, those first that show most of the concept now."""
    if not state:
        return ask.pool.rows["own"][:0]
    return state["memory"][_reached(ask, state["memory"], 8, generator).argsort(descending=True)]


def _reached(ask: Ask, rows: Any, count: int, generator: Any) -> Any:
    """(r,): the mean s of each of `rows` (r, t, d) over the same `count` latents, some rows at a time."""
    import torch

    index = torch.randint(len(ask.pool), (count,), generator=generator)
    found = []
    with torch.no_grad():
        for part in rows.split(max(1, BATCH // count)):
            asked = replace(ask, index=index.repeat(len(part)), rows=part.repeat_interleave(count, 0))
            found.append(asked.share(asked.as_it_is()).view(len(part), count).mean(1))
    return torch.cat(found)


def _told(ask: Ask, rows: Any, count: int, generator: Any) -> tuple[Ask, Any]:
    """What is asked and answered when each of `rows` (r, t, d) is told with the same `count` latents of the pool."""
    import torch

    index = torch.randint(len(ask.pool), (count,), generator=generator).repeat(len(rows))
    asked = replace(ask, index=index, rows=rows.repeat_interleave(count, 0))
    return asked, asked.as_it_is()


def _aim(ask: Ask, answers: Any) -> Any:
    """(k,): (1 - s)^2 + 0.1 |v - v_c|^2 / |r|^2, what a search minimises."""
    return (1 - ask.share(answers)).square() + DISTANCE * ask.distance(answers)
