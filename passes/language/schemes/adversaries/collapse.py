"""What a matrix reads and what comes back to it, without what is common to all of a data set: CIR's collapse.

The gradient of a weight is a sum of products of what the matrix reads at a token and of the loss's gradient there. In
both, the mean and the leading principal components are shared by text of every kind. Without them the change is
specific to what is forgotten, and training on other text does not undo it (arXiv 2509.11816).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from editc.passes.language.schemes.ask import Ask
from editc.passes.training.scheme import Drawn, Objective, State

SIDES = ("read", "back")
"""What a matrix reads, and the gradient that comes back to what it makes."""


@dataclass(frozen=True)
class Collapse:
    """One search finds the components over all rows, against the edited model as it is."""

    every: int
    """Steps between two searches."""
    objective: Objective
    """Whose gradient comes back."""
    read: int
    """Principal components that are taken out of what a matrix reads."""
    back: int
    """The same for the gradients that come back."""
    rows: int
    """Rows in one run."""

    def search(self, state: State, ask: Ask, generator: Any) -> tuple[State, tuple[float, ...]]:
        """Find the components. Nothing is reached."""
        import torch

        seen: dict[str, list[Any]] = {f"{side} {name}": [] for name in ask.factors.pairs for side in SIDES}
        for start in range(0, len(ask.pool), self.rows):
            some = ask.about(range(start, min(start + self.rows, len(ask.pool))))
            with ExitStack() as stack:
                for name in ask.factors.pairs:
                    hook = partial(_watch, seen, name, some.batch())
                    stack.callback(ask.model.layer(name).register_forward_hook(hook).remove)
                torch.autograd.grad(self.objective.loss(some), ask.factors.parameters, allow_unused=True)
        counts = dict(zip(SIDES, (self.read, self.back), strict=True))
        return {key: components(torch.cat(some), counts[key.split(" ")[0]]) for key, some in seen.items()}, ()

    def draw(self, state: State, ask: Ask, generator: Any) -> Drawn | None:
        """The components of each matrix."""
        if not state:
            return None
        return Drawn({name: tuple(state[f"{side} {name}"] for side in SIDES) for name in ask.factors.pairs}, "common")

    def follow(self, model: Any, state: State, drawn: Drawn) -> State:
        """The components stay until the next search."""
        return state


def _watch(seen: dict[str, list[Any]], name: str, batch: Any, module: Any, given: Any, made: Any) -> None:
    """Keep what a matrix reads at the answers' tokens, and the gradient that comes back there."""
    if not made.requires_grad:
        return  # the unedited model's run

    def at_answers(states: Any) -> Any:
        return states.detach().reshape(*batch.ids.shape, -1)[batch.rows, batch.columns + 1].cpu()

    seen[f"read {name}"].append(at_answers(given[0]))
    made.register_hook(lambda gradient: seen[f"back {name}"].append(at_answers(gradient)))


def components(vectors: Any, count: int) -> Any:
    """(d, k): an orthonormal basis of the mean of vectors (m, d) and of their leading principal components about it, at
    most `count` and at most a quarter of the vectors."""
    import torch

    vectors = vectors.double()
    mean = vectors.mean(0)
    _, _, directions = torch.linalg.svd(vectors - mean, full_matrices=False)
    together = torch.cat([mean[None], directions[: min(count, len(vectors) // 4)]]).T
    return torch.linalg.qr(together)[0].float()
