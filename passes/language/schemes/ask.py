"""What a loss may ask about some rows: the edited model with gradients, and the unedited one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeAlias

from editc.passes.language.schemes.answers import Answers, Batch, ask_model
from editc.passes.language.schemes.model import Trainable
from editc.passes.language.schemes.subject import Row, Tokens
from editc.passes.training.factors import Factors
from editc.passes.training.scheme import Drawn

Condition: TypeAlias = Literal["own", "refused"]
"""Which answer follows a row's prompt: its own, or a refusal."""


@dataclass(frozen=True)
class Ask:
    """Some rows, about which both models can be asked."""

    model: Trainable
    """The model; `factors` are attached to it."""
    factors: Factors
    """The factors that are trained."""
    pool: tuple[Row, ...]
    """All rows of the feed."""
    index: tuple[int, ...]
    """The numbers of the rows that are asked about."""
    generator: Any = None
    """Random numbers for a loss that draws some."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """What the adversary remembers: name -> tensor."""
    relearned: Mapping[str, tuple[Any, Any]] | None = None
    """Parameter name -> what an adversary adds to down and up of its factors. None: nothing."""
    common: Mapping[str, tuple[Any, Any]] | None = None
    """Parameter name -> bases that are left out of the gradients of its factors (`Factors.common`). None: nothing."""

    def attacked(self, drawn: Drawn) -> Ask:
        """The same with what an adversary found: `relearned`, or the bases `common`."""
        return replace(self, common=drawn.rows) if drawn.which == "common" else replace(self, relearned=drawn.rows)

    def about(self, index: Iterable[int]) -> Ask:
        """The same about other rows of the pool."""
        return replace(self, index=tuple(index))

    def batch(self, condition: Condition = "own") -> Batch:
        """The rows as tensors, under a condition."""
        return Batch.of([getattr(self.pool[one], condition) for one in self.index])

    def edited(self, condition: Condition = "own") -> Answers:
        """The edited model's answers, with gradients."""
        with self._edited():
            return self._answer(self.batch(condition))

    def frozen(self, condition: Condition = "own") -> Answers:
        """The unedited model's answers."""
        import torch

        with torch.no_grad(), self.factors.switched(False):
            return self._answer(self.batch(condition))

    def frozen_about(self, texts: Sequence[Tokens]) -> Answers:
        """The unedited model's answers in other texts."""
        import torch

        with torch.no_grad(), self.factors.switched(False):
            return self._answer(Batch.of(texts))

    def edited_about(self, texts: Sequence[Tokens]) -> Answers:
        """The edited model's answers in other texts, with gradients."""
        with self._edited():
            return self._answer(Batch.of(texts))

    def draw_alternatives(self) -> list[Tokens]:
        """One of the alternatives of each row."""
        import torch

        rows = [self.pool[one].alternatives for one in self.index]
        return [several[int(torch.randint(len(several), (), generator=self.generator))] for several in rows]

    def edited_stream(self, layer: int) -> Any:
        """(m, d): the edited model's residual stream after a layer at the tokens of the answers, with gradients."""
        with self._edited():
            return self._stream(layer)

    def frozen_stream(self, layer: int) -> Any:
        """(m, d): the same of the unedited model."""
        import torch

        with torch.no_grad(), self.factors.switched(False):
            return self._stream(layer)

    def _edited(self) -> Any:
        """A context in which the factors act, with what was relearned."""
        on = self.factors.switched(True)
        if self.common is not None:
            return self.factors.collapsed(self.common, on)
        return on if self.relearned is None else self.factors.shifted(self.relearned, on)

    def edited_outputs(self) -> Mapping[str, Any]:
        """Parameter name -> (m, d_out): what each matrix with factors makes of the answers' tokens in the edited model,
        with gradients."""
        with self._edited():
            return self._outputs()

    def frozen_outputs(self) -> Mapping[str, Any]:
        """The same of the unedited model."""
        import torch

        with torch.no_grad(), self.factors.switched(False):
            return self._outputs()

    def _outputs(self) -> Mapping[str, Any]:
        """What the matrices make of the answers' own tokens, in one run."""
        batch, found = self.batch(), dict[str, Any]()

        def keep(name: str, module: Any, given: Any, made: Any) -> None:
            found[name] = made.reshape(*batch.ids.shape, -1)[batch.rows, batch.columns + 1].cpu()

        with ExitStack() as stack:
            for name in self.factors.pairs:
                stack.callback(self.model.layer(name).register_forward_hook(partial(keep, name)).remove)
            self.model.run_tokens(batch.ids, batch.mask)
        return found

    def _answer(self, batch: Batch) -> Answers:
        states = self.model.run_tokens(batch.ids, batch.mask)
        return ask_model(self.model.logits, states, batch)

    def _stream(self, layer: int) -> Any:
        """The stream at the answers' own tokens, as RMU has it."""
        batch = self.batch()
        return self.model.run_tokens(batch.ids, batch.mask, layer)[batch.rows, batch.columns + 1]
