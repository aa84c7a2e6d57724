"""Relearning: how many steps of training on a few pictures of the concept bring it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Curve, Outcome
from editc.passes.images.diffusion.adapter import Adapter, attach_adapter
from editc.passes.images.diffusion.sampling import add_noise, goal_of_noise, paint


@dataclass(frozen=True)
class Relearn:
    """A LoRA on the cross-attention of the attacked model, trained on pictures that the unedited model painted, with
    the sentences that name the concept. Every edit of weights gives way to enough of it: the figure is how soon."""

    steps: int = 100
    """Training steps at the end of which pictures are judged."""
    shots: int = 8
    """Pictures that are learned from."""
    rank: int = 4
    """The LoRA's rank."""
    rate: float = 1e-3
    """Adam's rate."""
    batch: int = 8
    """Noised pictures a step."""
    marks: int = 4
    """Points of the curve between no training and all of it: at half of the steps, a quarter, and so on."""

    summary: ClassVar[str] = "a LoRA trained on a few pictures of the concept"
    access: ClassVar[Access] = "weights"
    quick: ClassVar[Mapping[str, Any]] = {"steps": 40, "batch": 4, "marks": 1}
    thorough: ClassVar[Mapping[str, Any]] = {"steps": 200}

    def run(self, case: Case) -> Outcome:
        """Train, and paint sentences that name the concept; on the way too, where the case asks for a curve."""
        model, losses = case.model, list[float]()
        rows = model.rows(case.prompts)
        marks = {0, *(self.steps // 2 ** (one + 1) for one in range(self.marks))} if case.recorded else set[int]()
        points: list[tuple[float, Any]] = []
        with attach_adapter(model, self.rank, case.seed) as adapter:
            training = fit(case, adapter, rows[: self.shots], self.shots, self.steps, self.rate, self.batch)
            for step in range(self.steps + 1):
                if step in marks or step == self.steps:
                    points.append((float(step), paint(model, rows, case.seeds, case.steps, case.guidance)))
                losses += [] if step == self.steps else [next(training)]
        curve = Curve("training steps", tuple(points)) if case.recorded else None
        return Outcome(points[-1][1], {"loss": thin(losses)}, curve)


def thin(losses: Sequence[float]) -> list[float]:
    """Some ten of the losses, rounded."""
    return [round(one, 4) for one in losses[:: max(1, len(losses) // 10)]]


def fit(case: Case, adapter: Adapter, rows: Any, shots: int, steps: int, rate: float, batch: int) -> Iterator[float]:
    """Train the adapter to paint the first `shots` pictures of the reference from `rows` (k, t, d), taken in turn.
    Each item is one step of training and its loss."""
    import torch

    model, generator = case.model, torch.Generator().manual_seed(case.seed)
    clean = case.reference.clean[:shots]
    optimizer = torch.optim.Adam(adapter.parameters, rate)
    for _ in range(steps):
        index = torch.randint(len(clean), (batch,), generator=generator)
        times = torch.randint(len(model.levels), (batch,), generator=generator)
        noise = torch.randn(batch, *clean.shape[1:], generator=generator)
        latents = add_noise(model, clean[index], times, noise)
        answers = model.answer(latents, times, rows[index % len(rows)])
        loss = (answers - goal_of_noise(model, clean[index], times, noise)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield float(loss.detach())
