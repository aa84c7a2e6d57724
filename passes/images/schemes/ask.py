"""What a loss may ask: the edited model with gradients, and the unedited one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from editc.core.ports import Diffusion
from editc.passes.images.diffusion.residual import residual_distance, residual_share
from editc.passes.images.schemes.pool import Pool
from editc.passes.training.factors import Factors
from editc.passes.training.scheme import Drawn


@dataclass(frozen=True)
class Ask:
    """Some latents of a pool, about which both models can be asked."""

    model: Diffusion
    """The model; `factors` are attached to it."""
    factors: Factors
    """The factors that are trained."""
    pool: Pool
    """The pool."""
    index: Any
    """(k,): the latents' numbers in the pool."""
    generator: Any = None
    """Random numbers for a loss that draws some."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """What the adversary remembers: name -> tensor."""
    rows: Any = None
    """(k, t, d): rows that an adversary found, told in place of the sentence's own. None: there are none."""

    def attacked(self, drawn: Drawn) -> Ask:
        """The same, told of the rows that an adversary found."""
        return replace(self, rows=drawn.rows)

    def edited(self, condition: str = "own") -> Any:
        """(k, c, h, w): the edited model's answers, with gradients. `own` means the adversary's rows where there are
        some."""
        return self.edited_for(
            self.rows if condition == "own" and self.rows is not None else self.told(condition, self.index)
        )

    def told(self, condition: str, index: Any) -> Any:
        """(k, t, d): the rows of a condition for the latents `index` (k,), as the edited model reads them: with
        gradients where the text encoder is edited."""
        if not self.factors.encodes:
            return self.pool.told(condition, index)
        return self.encoded(self.pool.sentences(condition, index))

    def told_each(self, conditions: Sequence[str], index: Any) -> Any:
        """(k, t, d): the same, with a condition for each latent."""
        import torch

        each = list(zip(conditions, index, strict=True))
        if not self.factors.encodes:
            return torch.cat([self.pool.told(condition, one[None]) for condition, one in each])
        return self.encoded([self.pool.sentences(condition, one[None])[0] for condition, one in each])

    def encoded(self, prompts: Sequence[str]) -> Any:
        """(n, t, d): the edited text encoder's rows of prompts, with gradients."""
        with self.factors.switched(True):
            return self.model.encode_tokens(self.model.tokens(prompts))

    def edited_for(self, rows: Any) -> Any:
        """(k, c, h, w): the edited model's answers for rows (k, t, d), with gradients."""
        with self.factors.switched(True):
            return self._answer(rows)

    def as_it_is(self) -> Any:
        """(k, c, h, w): the answers for the adversary's rows, with gradients, of the model with the weights that it has
        now and no factors beside them."""
        return self._answer(self.rows)

    def _answer(self, rows: Any) -> Any:
        return self.model.answer(self.pool.latents[self.index], self.pool.times[self.index], rows)

    def frozen_for(self, rows: Any) -> Any:
        """(k, c, h, w): the unedited model's answers for rows (k, t, d)."""
        import torch

        with torch.no_grad(), self.factors.switched(False):
            return self._answer(rows)

    def frozen(self, condition: str = "own") -> Any:
        """(k, c, h, w): the unedited model's answers to the pool's own sentences under a condition."""
        with self.factors.switched(False):
            return self.pool.answers(self.model, condition)[self.index]

    def frozen_at(self, condition: str, number: Any) -> Any:
        """(c, h, w): the unedited model's answer to a condition at one latent of the pool."""
        with self.factors.switched(False):
            return self.pool.answers(self.model, condition)[number]

    @property
    def mixture(self) -> Any:
        """(k, c, h, w): the best mixture of the unedited model's answers to other names."""
        with self.factors.switched(False):
            return self.pool.mixture(self.model)[self.index]

    @property
    def residual(self) -> Any:
        """(k, c, h, w): r, what no mixture of the others predicts of the concept."""
        return self.frozen() - self.mixture

    def share(self, answers: Any) -> Any:
        """(k,): s = <v - h, r> / |r|^2 of answers v (k, c, h, w). 1: as much of the concept as the unedited model's
        answer; 0: none."""
        return residual_share(answers, self.frozen(), self.mixture)

    def distance(self, answers: Any) -> Any:
        """(k,): |v - v_c|^2 / |r|^2 of the same."""
        return residual_distance(answers, self.frozen(), self.mixture)
