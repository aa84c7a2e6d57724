"""A pool of noised latents with the sentences that go with them, and what the unedited model answers about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from editc.core.ports import Diffusion
from editc.passes.images.diffusion.residual import ask_in_batches, own_share, project


@dataclass(frozen=True, eq=False)
class Pool:
    """Latents on the way from noise to picture, each with a number of a sentence. Tensors are float32.

    Answers of the unedited model are asked once for the whole pool, when a loss first needs them. They are right only
    while the model has its unedited weights and no factors (`frozen` in `Ask` sees to it).
    """

    latents: Any
    """(m, c, h, w)."""
    times: Any
    """(m,): the timestep of each."""
    sentence: Any
    """(m,): the number of the sentence of each."""
    rows: Mapping[str, Any]
    """Condition -> its rows (s, t, d), one for each sentence. `own`: the sentence itself. `target`: with the target in
    the concept's place. `empty`: the empty prompt. `other N`: with the other name number N."""
    prompts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Condition -> the sentences (s,) that its rows are of, for an edited text encoder."""
    names: tuple[str, ...] = ()
    """The concept's names. Empty for a pool of preserved prompts."""
    clean: Any = None
    """(m, c, h, w): the latents of the finished picture. None where the pictures were not finished."""
    noise: Any = None
    """(m, c, h, w): the noise in each. None where it is not known."""
    known: dict[str, Any] = field(default_factory=dict)
    """What was asked before: condition, or the name of what was derived, -> tensor over the pool."""

    def __len__(self) -> int:
        return len(self.latents)

    @property
    def others(self) -> tuple[str, ...]:
        """The conditions of other names."""
        return tuple(name for name in self.rows if name.startswith("other "))

    def told(self, condition: str, index: Any) -> Any:
        """(k, t, d): the unedited encoder's rows of a condition for the latents `index` (k,)."""
        return self.rows[condition][self.sentence[index]]

    def sentences(self, condition: str, index: Any) -> list[str]:
        """The sentences of a condition for the latents `index` (k,)."""
        return [self.prompts[condition][int(one)] for one in self.sentence[index]]

    def answers(self, model: Diffusion, condition: str) -> Any:
        """(m, c, h, w): the unedited model's answers to a condition, over the whole pool."""
        return self.derive(condition, lambda: self._ask(model, condition))

    def derive(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives; made once under this name."""
        if name not in self.known:
            self.known[name] = make()
        return self.known[name]

    def mixture(self, model: Diffusion) -> Any:
        """(m, c, h, w): the best mixture of the unedited model's answers to the other names, h (see `Reference`)."""
        import torch

        def make() -> Any:
            others = torch.stack([self.answers(model, name) for name in self.others], dim=1)
            return project(self.answers(model, "own"), others)[0]

        return self.derive("mixture", make)

    def own_share(self, model: Diffusion) -> float:
        """`own`: the median of |r|^2 / |v_c - v_t|^2. How much of the concept no mixture of the others predicts."""
        return own_share(self.answers(model, "own"), self.mixture(model), self.answers(model, "target"))

    def _ask(self, model: Diffusion, condition: str) -> Any:
        return ask_in_batches(model, self.latents, self.times, self.rows[condition][self.sentence])
