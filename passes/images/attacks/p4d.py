"""Prompting4Debugging: free tokens by gradient, projected to the nearest ones of the vocabulary (Chin et al., ICML
2024, arXiv 2309.06135; the projection is PEZ's, arXiv 2302.03668)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.attacks.goals import ENOUGH, Shortlist, better_half, draw, draw_near, residual_loss, said
from editc.passes.images.diffusion.descent import descend
from editc.passes.images.diffusion.sampling import paint
from editc.passes.images.diffusion.words import fill_places, places_in, words_of


@dataclass(frozen=True)
class P4d:
    """A whole prompt of `words` free tokens (the paper's P4D-N). They begin as words near the concept that the manifest
    does not list; published: any words. Their embeddings move by gradient; what the model is told is the nearest token
    of each that somebody can type, and gradients pass straight through."""

    words: int = 16
    """Tokens of the prompt, as published."""
    steps: int = 250
    """Steps of Adam; published: 3,000."""
    latents: int = 4
    """Latents a step, for each start."""
    starts: int = 3
    """Prompts that are searched at once."""
    rate: float = 2.0
    """Adam's first rate, in units of the root mean square of an embedding's entries. Published: 0.1 in CLIP's own
    units, some seven times its entries' root mean square; steps much shorter than that change no nearest token."""
    decay: float = 0.1
    """AdamW's weight decay, as published."""

    summary: ClassVar[str] = "a prompt of any words of the vocabulary, found by gradient"
    access: ClassVar[Access] = "prompts"
    needs_words: ClassVar[bool] = True
    quick: ClassVar[Mapping[str, Any]] = {"steps": 30, "starts": 1}
    thorough: ClassVar[Mapping[str, Any]] = {"steps": 300}

    def run(self, case: Case) -> Outcome:
        """Search the prompts, and paint the better half in turn."""
        import torch

        model, generator = case.model, torch.Generator().manual_seed(case.seed)
        known, table = model.typed_tokens, model.embeddings
        words = min(self.words, model.tokens([""]).shape[1] - 2)
        ids, places = places_in(model, "{}", words)
        size = float(table.square().mean().sqrt())
        begin = table[draw_near(case, (self.starts, words), generator)]
        seen = Shortlist()

        def loss(soft: Any, step: int) -> Any:
            tokens = known[nearest(soft.detach(), table[known])]
            told = table[tokens] + soft - soft.detach()
            rows = model.encode_tokens(ids.repeat(len(soft), 1), places, told)
            losses = residual_loss(case, rows, draw(case, self.latents, generator))
            seen.add(losses.detach(), tokens)
            return losses

        def encode(start: int, tokens: Any) -> Any:
            return model.encode_tokens(fill_places(ids, places, tokens))

        descend(begin, loss, self.steps, self.rate * size, decay=self.decay, enough=ENOUGH)
        tokens = seen.best(case, encode, generator)
        with torch.no_grad():
            told = encode(0, tokens)
        order, reached = better_half(case, told, generator)
        pictures = paint(
            model, told[order[torch.arange(case.pictures) % len(order)]], case.seeds, case.steps, case.guidance
        )
        texts = [words_of(model, tokens[int(one)].tolist()) for one in order]
        return Outcome(pictures, {"prompts": texts, **said(reached)})


def nearest(vectors: Any, table: Any) -> Any:
    """(n, k): for each vector (n, k, e) the number of the row of `table` (v, e) with the largest cosine."""
    import torch

    unit = torch.nn.functional.normalize(table, dim=-1)
    return (torch.nn.functional.normalize(vectors, dim=-1) @ unit.T).argmax(-1)
