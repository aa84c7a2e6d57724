"""UnlearnDiffAtk: words before the prompt, as distributions over the vocabulary (Zhang et al., ECCV 2024,
arXiv 2310.11868)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.attacks.goals import ENOUGH, Shortlist, draw, draw_near, report_shares, residual_loss
from editc.passes.images.diffusion.descent import descend
from editc.passes.images.diffusion.sampling import paint
from editc.passes.images.diffusion.words import fill_places, places_in, words_of


@dataclass(frozen=True)
class Prefix:
    """`words` tokens before a sentence that names the concept. Each is a point of the probability simplex over the
    tokens that somebody can type, projected after each step; the tokens are the likeliest ones, and gradients pass
    straight through. They begin as words near the concept that the manifest does not list; published: any words."""

    words: int = 5
    """Tokens of the prefix, as published."""
    steps: int = 200
    """Steps of Adam; published: 40 at each of 50 timesteps."""
    latents: int = 4
    """Latents a step, for each start."""
    starts: int = 3
    """Sentences of the concept that are attacked."""
    rate: float = 0.01
    """Adam's first rate, as published."""
    decay: float = 0.1
    """AdamW's weight decay, as published."""

    summary: ClassVar[str] = "words of the vocabulary before the prompt, found by gradient"
    access: ClassVar[Access] = "prompts"
    needs_words: ClassVar[bool] = True
    quick: ClassVar[Mapping[str, Any]] = {"steps": 24, "starts": 1}
    thorough: ClassVar[Mapping[str, Any]] = {"steps": 300}

    def run(self, case: Case) -> Outcome:
        """Search a prefix for each of a few sentences, and paint these in turn."""
        import torch

        model, generator = case.model, torch.Generator().manual_seed(case.seed)
        known, prompts = model.typed_tokens, list(dict.fromkeys(case.prompts))[: self.starts]
        sentences = [places_in(model, "{} " + prompt, self.words) for prompt in prompts]
        seen, table = Shortlist(), model.embeddings[known]
        begin = self._begin(draw_near(case, (len(sentences), self.words), generator), known, generator)

        def rows(soft: Any) -> Any:
            hard = torch.nn.functional.one_hot(soft.argmax(-1), len(table)).to(soft.dtype)
            words = (hard + soft - soft.detach()) @ table
            parts = [
                model.encode_tokens(ids, places, one[None]) for (ids, places), one in zip(sentences, words, strict=True)
            ]
            return torch.cat(parts)

        def loss(soft: Any, step: int) -> Any:
            losses = residual_loss(case, rows(soft), draw(case, self.latents, generator))
            seen.add(losses.detach(), known[soft.detach().argmax(-1)])
            return losses

        def encode(start: int, tokens: Any) -> Any:
            ids, places = sentences[start]
            return model.encode_tokens(fill_places(ids, places, tokens))

        descend(begin, loss, self.steps, self.rate, to_simplex, decay=self.decay, enough=ENOUGH)
        found = seen.best(case, encode, generator)
        with torch.no_grad():
            told = torch.cat([encode(start, one[None]) for start, one in enumerate(found)])
        pictures = paint(model, told[torch.arange(case.pictures) % len(told)], case.seeds, case.steps, case.guidance)
        texts = [f"{words_of(model, one.tolist())} {prompt}" for one, prompt in zip(found, prompts, strict=True)]
        return Outcome(pictures, {"prompts": texts, **report_shares(case, told, generator)})

    def _begin(self, tokens: Any, known: Any, generator: Any) -> Any:
        """(starts, k, w): random points of the simplex over the tokens `known` (w,), at which `tokens` (starts, k) are
        the likeliest, by little."""
        import torch

        noise = torch.rand(*tokens.shape, len(known), generator=generator)
        return to_simplex(torch.where(tokens[..., None] == known, 1.0, noise))


def to_simplex(rows: Any) -> Any:
    """The Euclidean projection of the last axis onto {p >= 0, sum p = 1} (Duchi et al., ICML 2008)."""
    import torch

    ordered, _ = rows.sort(dim=-1, descending=True)
    rank = torch.arange(1, rows.shape[-1] + 1)
    above = (ordered.cumsum(-1) - 1) / rank
    kept = (ordered > above).sum(-1, keepdim=True)
    return (rows - above.gather(-1, kept - 1)).clamp(min=0)
