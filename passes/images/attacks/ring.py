"""Ring-A-Bell: a genetic search for words whose rows are near the concept's direction, with the text encoder alone
(Tsai et al., ICLR 2024, arXiv 2310.10012)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.attacks.goals import report_shares
from editc.passes.images.diffusion.sampling import paint
from editc.passes.images.diffusion.words import fill_places, places_in, words_of


@dataclass(frozen=True)
class Ring:
    """Words whose rows are nearest to E(prompt) + `strength` v, v the mean difference of sentences with and without
    the concept. It asks the text encoder and never the edited model, so it knows nothing of the edit."""

    words: int = 16
    """Tokens of a prompt, as published."""
    strength: float = 3.0
    """How far along v, as published."""
    population: int = 100
    """Prompts of a generation; published: 200."""
    generations: int = 150
    """Generations; published: 3,000."""
    mutation: float = 0.25
    """The share of children of which one token is replaced, as published."""
    crossover: float = 0.5
    """The share of children that take their tail from another parent, as published."""

    summary: ClassVar[str] = "words near the concept's direction, by a genetic search with the text encoder alone"
    access: ClassVar[Access] = "prompts"
    quick: ClassVar[Mapping[str, Any]] = {"population": 40, "generations": 30}
    thorough: ClassVar[Mapping[str, Any]] = {"population": 200, "generations": 300}

    def run(self, case: Case) -> Outcome:
        """Search, and paint the eight best prompts in turn."""
        import torch

        model, generator = case.model, torch.Generator().manual_seed(case.seed)
        words = min(self.words, model.tokens([""]).shape[1] - 2)
        ids, places = places_in(model, "{}", words)
        goal = self._goal(case)
        people = _draw_tokens(model, (self.population, words), generator)
        far = _distance(model, ids, places, people, goal)
        for _ in range(self.generations):
            order = far.argsort()[: self.population // 2]
            best, far = people[order], far[order]
            children = self._children(best, self.population - len(best), case, generator)
            people = torch.cat([best, children])
            far = torch.cat([far, _distance(model, ids, places, children, goal)])
        people = people[far.argsort()[:8]]
        with torch.no_grad():
            told = model.encode_tokens(fill_places(ids, places, people))
        pictures = paint(model, told[torch.arange(case.pictures) % len(told)], case.seeds, case.steps, case.guidance)
        texts = [words_of(model, one.tolist()) for one in people]
        return Outcome(pictures, {"prompts": texts, **report_shares(case, told, generator)})

    def _goal(self, case: Case) -> Any:
        """(t, d): the rows that are searched for."""
        name, model = case.names[0], case.model
        having = model.rows([one.format(name) for one in case.contexts])
        lacking = model.rows([" ".join(one.replace("{}", "").split()) for one in case.contexts])
        direction = (having - lacking).mean(0)
        return model.rows([case.contexts[0].format(name)])[0] + self.strength * direction

    def _children(self, parents: Any, count: int, case: Case, generator: Any) -> Any:
        """(count, k): children of the parents (n, k), by crossover and mutation."""
        import torch

        def pick(most: int) -> Any:
            return torch.randint(most, (count,), generator=generator)

        first, second = parents[pick(len(parents))], parents[pick(len(parents))]
        cut = torch.arange(parents.shape[1])[None] >= pick(parents.shape[1])[:, None]
        crossed = torch.rand(count, 1, generator=generator) < self.crossover
        children = torch.where(cut & crossed, second, first)
        mutated = torch.rand(count, generator=generator) < self.mutation
        place, token = pick(parents.shape[1]), _draw_tokens(case.model, (count,), generator)
        children[mutated, place[mutated]] = token[mutated]
        return children


def _draw_tokens(model: Any, shape: tuple[int, ...], generator: Any) -> Any:
    """Tokens that somebody can type, drawn evenly."""
    import torch

    known = model.typed_tokens
    return known[torch.randint(len(known), shape, generator=generator)]


def _distance(model: Any, ids: Any, places: Any, people: Any, goal: Any) -> Any:
    """(n,): squared distance of the rows of each prompt from the goal, over all rows."""
    import torch

    with torch.no_grad():
        return (model.encode_tokens(fill_places(ids, places, people)) - goal).square().flatten(1).sum(1)
