"""Free rows: what a prompt would have to be encoded as, learned by gradient, without a prompt that has these rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.attacks.goals import ENOUGH, better_half, draw, residual_loss, said
from editc.passes.images.diffusion.descent import descend
from editc.passes.images.diffusion.sampling import paint


@dataclass(frozen=True)
class Rows:
    """All rows behind BOS learned by gradient, from several starts: sentences of the concept, the empty prompt, and
    harmless prompts. The model paints from the best of each kind of start in turn."""

    steps: int = 250
    """Steps of Adam."""
    latents: int = 4
    """Latents a step, for each start."""
    starts: int = 2
    """Starts of each of the three kinds."""
    rate: float = 0.5
    """Adam's first rate, in units of a row's entries. 60 steps at 0.5 find what 150 find at 0.1
    (docs/explanation/forget.md)."""
    ball: bool = True
    """True: after each step rows go back to the ball of rows that the text encoder can give. False: rows are free."""

    summary: ClassVar[str] = "rows in place of a prompt's, learned by gradient"
    access: ClassVar[Access] = "rows"
    quick: ClassVar[Mapping[str, Any]] = {"steps": 30, "starts": 1, "latents": 3}
    thorough: ClassVar[Mapping[str, Any]] = {"steps": 250}

    def run(self, case: Case) -> Outcome:
        """Learn the rows, and paint from the best."""
        import torch

        generator = torch.Generator().manual_seed(case.seed)
        begin = starts(case, self.starts, generator)
        into = case.model.into_ball if self.ball else (lambda rows: rows)
        first = begin[:, :1].clone()

        def keep_first(rows: Any) -> Any:
            return torch.cat([first, into(rows[:, 1:])], dim=1)

        def loss(rows: Any, step: int) -> Any:
            return residual_loss(case, rows, draw(case, self.latents, generator))

        found = descend(begin, loss, self.steps, self.rate, keep_first, enough=ENOUGH)
        order, reached = better_half(case, found, generator)
        chosen = found[order[torch.arange(case.pictures) % len(order)]]
        pictures = paint(case.model, chosen, case.seeds, case.steps, case.guidance)
        return Outcome(pictures, said(reached))


def starts(case: Case, each: int, generator: Any) -> Any:
    """(3 * each, t, d): rows of the concept's sentences, of the empty prompt and of harmless prompts."""
    import torch

    sentences = [case.contexts[int(torch.randint(len(case.contexts), (1,), generator=generator))] for _ in range(each)]
    named = [one.format(case.names[i % len(case.names)]) for i, one in enumerate(sentences)]
    prompts = case.harmless or ("",)  # an edit of layers that read no text preserves no prompts
    other = [prompts[int(torch.randint(len(prompts), (1,), generator=generator))] for _ in range(each)]
    return case.model.rows([*named, *[""] * each, *other])
