"""Concept inversion: new words learned through the text encoder from the unedited model's pictures (Pham et al.,
"Circumventing Concept Erasure Methods", ICLR 2024; textual inversion, arXiv 2208.01618)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.attacks.goals import COMPARED, ENOUGH, draw, residual_loss, said, share
from editc.passes.images.diffusion.descent import descend
from editc.passes.images.diffusion.sampling import paint
from editc.passes.images.diffusion.words import bare_tokens, places_in


@dataclass(frozen=True)
class Inversion:
    """The embeddings of new words in place of the concept's name, learned by gradient through the text encoder. The
    published attack has one word, 5,000 steps and the picture's noise as its goal; ours has a stronger goal
    (docs/reference/attacks.md) and fewer steps."""

    words: int = 4
    """How many new words stand in the place of the name."""
    steps: int = 300
    """Steps of Adam."""
    latents: int = 4
    """Latents a step, for each start."""
    starts: int = 3
    """Where it begins: the concept's own name, then words drawn from the vocabulary."""
    rate: float = 0.1
    """Adam's first rate, in units of the root mean square of an embedding's entries."""

    summary: ClassVar[str] = "new words, learned through the text encoder"
    access: ClassVar[Access] = "words"
    quick: ClassVar[Mapping[str, Any]] = {"words": 1, "steps": 60, "starts": 2}
    thorough: ClassVar[Mapping[str, Any]] = {"steps": 300}

    def run(self, case: Case) -> Outcome:
        """Learn the words, and paint sentences with the best of them."""
        told, reached = self._learned(case)
        pictures = paint(case.model, told, case.seeds, case.steps, case.guidance)
        return Outcome(pictures, said(reached))

    def learn(self, case: Case) -> Any:
        """(n, t, d): the rows of `case.pictures` sentences with the best words."""
        return self._learned(case)[0]

    def _learned(self, case: Case) -> tuple[Any, Any]:
        """The rows (n, t, d) of sentences with the best words, and s (starts,) of the words of each start."""
        import torch

        model, generator = case.model, torch.Generator().manual_seed(case.seed)
        sentences = [places_in(model, one, self.words) for one in case.contexts]
        table = model.embeddings

        def rows(words: Any, which: int) -> Any:
            ids, places = sentences[which % len(sentences)]
            return model.encode_tokens(ids.repeat(len(words), 1), places, words)

        def each(words: Any, index: Any) -> Any:
            """(starts, k, t, d): for each latent the rows of the sentence that the unedited model was told of."""
            return torch.stack([rows(words, int(case.reference.sentences[one])) for one in index], dim=1)

        def loss(words: Any, step: int) -> Any:
            index = draw(case, self.latents, generator)
            return residual_loss(case, each(words, index), index)

        begin = self._begin(case, table, generator)
        rate = self.rate * float(table.square().mean().sqrt())
        found = descend(begin, loss, self.steps, rate, enough=ENOUGH)
        with torch.no_grad():
            index = draw(case, COMPARED, generator)
            reached = share(case, each(found, index), index)
            word = found[int(reached.argmax())][None]
            return torch.cat([rows(word, picture) for picture in range(case.pictures)]), reached

    def _begin(self, case: Case, table: Any, generator: Any) -> Any:
        """(starts, words, e): the concept's name, repeated or cut; then random words."""
        import torch

        own = bare_tokens(case.model, case.concept)
        ids = torch.randint(len(table), (self.starts, self.words), generator=generator)
        ids[0] = torch.tensor([own[i % len(own)] for i in range(self.words)])
        return table[ids]
