"""What gradient attacks minimise: how far the attacked model's answer is from the unedited model's concept.

Attackers that only fit pictures' noise find less than those that go for the concept's own residual: a model that looked
safe to the first showed the concept in every picture to the second (docs/reference/attacks.md).
"""

from __future__ import annotations

from typing import Any

from editc.passes.images.attacks.attack import Case

DISTANCE = 0.1
"""The weight of the whole answer's distance beside the residual's share; taken from the experiment named above."""


def draw(case: Case, count: int, generator: Any) -> Any:
    """(count,): numbers of noised latents of the reference, drawn evenly."""
    import torch

    return torch.randint(len(case.reference.latents), (count,), generator=generator)


def residual_loss(case: Case, rows: Any, index: Any) -> Any:
    """(starts,): mean of (1 - s)^2 + 0.1 |v - v_c|^2 / |r|^2 over the latents `index` (k,), for each of `rows`
    (starts, t, d)."""
    answers, repeated = answer(case, rows, index)
    loss = (1 - case.reference.share(answers, repeated)).square()
    loss = loss + DISTANCE * case.reference.distance(answers, repeated)
    return loss.view(len(rows), len(index)).mean(1)


def share(case: Case, rows: Any, index: Any) -> Any:
    """(starts,): mean s over the latents `index`, for each of `rows`."""
    import torch

    with torch.no_grad():
        answers, repeated = answer(case, rows, index)
        return case.reference.share(answers, repeated).view(len(rows), len(index)).mean(1)


def answer(case: Case, rows: Any, index: Any) -> tuple[Any, Any]:
    """The model's answers (starts * k, c, h, w) to the latents `index` (k,) told of each of `rows` (starts, t, d), and
    the latent of each."""
    index = index.to(rows.device)
    repeated = index.repeat(len(rows))
    told = rows.repeat_interleave(len(index), 0)
    reference = case.reference
    return case.model.answer(reference.latents[repeated], reference.times[repeated], told), repeated


def best(case: Case, rows: Any, generator: Any, count: int = 32) -> Any:
    """The numbers of `rows`, best first, by their mean s over `count` latents."""
    return share(case, rows, draw(case, count, generator)).argsort(descending=True)
