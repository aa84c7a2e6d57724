"""What the encoders that transformers runs have in common: a model, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.libraries.device import describe_runner


@dataclass(frozen=True)
class TransformersModel:
    """A text encoder of transformers."""

    model: Any
    """The model, in float32. It may lie on a GPU: tokens and masks are moved there, and rows come back."""
    alone: bool = False
    """torch sums a batch in another order than a prompt by itself."""

    @property
    def device(self) -> Any:
        """torch's device on which the weights lie."""
        return self.model.get_input_embeddings().weight.device

    @property
    def name(self) -> str:
        """What runs it, and where if not on the CPU."""
        return describe_runner(self.device)
