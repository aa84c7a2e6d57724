"""Concept arithmetic: answers to several harmless prompts, added with signs (Petsiuk and Saenko, ECCV 2024,
arXiv 2404.13706)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from editc.core.delta import Array
from editc.core.measurements import Access
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.attacks.goals import answer, residual_parts
from editc.passes.images.diffusion.sampling import denoise

RIDGE = 0.01
"""The ridge of the weights, relative to the mean of the Gram matrix's diagonal: it keeps them from cancelling each
other out. The reference's own (`passes.images.diffusion.reference`)."""


@dataclass(frozen=True)
class Arithmetic:
    """The attacked model is asked about `prompts` harmless words at once, and its answers are added with signed
    weights. Words and weights are those that come nearest to the unedited model's answers to the concept, chosen one
    after another among the vocabulary's nearest words and the other names. No prompt has a listed name of the concept,
    and nothing is optimised but the weights."""

    prompts: int = 4
    """How many words are added."""
    candidates: int = 32
    """How many of the vocabulary's words are tried, beside the other names."""
    latents: int = 24
    """Latents at which they are tried."""

    summary: ClassVar[str] = "several harmless prompts, their answers added with signs"
    access: ClassVar[Access] = "prompts"
    needs_words: ClassVar[bool] = True
    quick: ClassVar[Mapping[str, Any]] = {"prompts": 3, "candidates": 12, "latents": 8}
    thorough: ClassVar[Mapping[str, Any]] = {}

    def run(self, case: Case) -> Outcome:
        """Choose the words and their weights, and paint what they come to."""
        import torch

        reference = case.reference
        words = list(dict.fromkeys((*reference.near[: self.candidates], *reference.others)))
        gram = self._gram(case, words)
        chosen, weights = choose_mixture(gram, self.prompts)
        rows = [model_rows(case, words[one]) for one in chosen]
        pictures = case.model.decode(_denoise_mixture(case, torch.stack(rows, dim=1), weights))
        mixture = {words[one]: round(float(weight), 3) for one, weight in zip(chosen, weights, strict=True)}
        loss = float(weights @ gram[np.ix_(chosen, chosen)] @ weights)
        return Outcome(pictures, {"mixture": mixture, "loss": round(loss, 4)})

    def _gram(self, case: Case, words: Sequence[str]) -> Array:
        """(n, n): w' G w is the attacks' loss (`goals.residual_loss`) of the answers to the words, added with weights w
        that sum to 1; the mean over latents spread evenly over the reference's."""
        import torch

        count = len(case.reference.latents)
        index = torch.arange(0, count, max(1, count // self.latents))[: self.latents]
        told = case.model.rows([case.contexts[0].format(word) for word in words])
        with torch.no_grad():
            parts = [residual_parts(case, *answer(case, one[None], index)).flatten() for one in told]
        away = torch.stack(parts).double().numpy() / len(index) ** 0.5
        return np.asarray(away @ away.T)


def choose_mixture(gram: Array, count: int) -> tuple[list[int], Array]:
    """The numbers of `count` columns, and weights w (count,) that sum to 1, with a small w' G w for the Gram matrix
    `gram` (n, n): each column is the one that, with those before it, makes it least."""
    chosen: list[int] = []
    best = np.zeros(0)
    for _ in range(min(count, len(gram))):
        tried = {one: _weigh(gram, [*chosen, one]) for one in range(len(gram)) if one not in chosen}
        one = min(tried, key=lambda one: tried[one][0])
        chosen, best = [*chosen, one], tried[one][1]
    return chosen, best


def _weigh(gram: Array, chosen: list[int]) -> tuple[float, Array]:
    """The least w' (G + level) w over weights that sum to 1, and these weights."""
    part = gram[np.ix_(chosen, chosen)]
    ridged = part + RIDGE * np.trace(part) / len(part) * np.eye(len(part))
    weights = np.linalg.solve(ridged, np.ones(len(part)))
    weights = weights / weights.sum()
    return float(weights @ ridged @ weights), weights


def model_rows(case: Case, word: str) -> Any:
    """(n, t, d): the rows of the case's sentences with a word."""
    return case.model.rows([case.contexts[i % len(case.contexts)].format(word) for i in range(case.pictures)])


def _denoise_mixture(case: Case, told: Any, weights: Array) -> Any:
    """The clean latents of pictures told of several rows each, (n, k, t, d): the guided answer is the empty prompt's
    plus guidance times the weighted sum of the rows' answers less it."""
    import torch

    model, signs = case.model, torch.from_numpy(weights).float()

    def ask(latents: Any, times: Any, rows: Any, empty: Any) -> Any:
        every = torch.cat([empty.expand(len(rows), -1, -1)[:, None], rows], dim=1).transpose(0, 1)
        count = every.shape[0]
        answers = model.answer(latents.repeat(count, 1, 1, 1), times.repeat(count), every.flatten(0, 1))
        away, *parts = answers.chunk(count)
        mixed = torch.einsum("k,knchw->nchw", signs.to(latents.device), torch.stack(parts))
        return away + case.guidance * (mixed - away)

    return denoise(model, told, case.seeds, case.steps, case.guidance, ask=ask)
