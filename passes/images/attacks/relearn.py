"""Relearning: how many steps of training on a few pictures of the concept bring it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Outcome
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

    summary: ClassVar[str] = "a LoRA trained on a few pictures of the concept"
    access: ClassVar[Access] = "weights"
    quick: ClassVar[Mapping[str, Any]] = {"steps": 40}
    thorough: ClassVar[Mapping[str, Any]] = {"steps": 200}

    def run(self, case: Case) -> Outcome:
        """Train, and paint sentences that name the concept."""
        model = case.model
        rows = model.rows(case.prompts)
        with attach_adapter(model, self.rank, case.seed) as adapter:
            losses = fit(case, adapter, rows[: self.shots], self.shots, self.steps, self.rate, self.batch)
            pictures = paint(model, rows, case.seeds, case.steps, case.guidance)
        return Outcome(pictures, {"loss": [round(one, 4) for one in losses[:: max(1, len(losses) // 10)]]})


def fit(case: Case, adapter: Adapter, rows: Any, shots: int, steps: int, rate: float, batch: int) -> list[float]:
    """Train the adapter to paint the first `shots` pictures of the reference from `rows` (k, t, d), taken in turn;
    the loss of each step."""
    import torch

    model, generator = case.model, torch.Generator().manual_seed(case.seed)
    clean = case.reference.clean[:shots]
    optimizer, losses = torch.optim.Adam(adapter.parameters, rate), []
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
        losses.append(float(loss.detach()))
    return losses
