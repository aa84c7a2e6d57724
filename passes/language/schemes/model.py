"""What training asks of a language model, beside what every pass asks of it."""

from __future__ import annotations

from typing import Any, Protocol

from editc.core.network import Network
from editc.core.prompts import Cloze


class Trainable(Network, Protocol):
    """A language model with gradients. Tensors are torch's, float32; matrices go by their names in the checkpoint."""

    def layer(self, name: str) -> Any:
        """The module whose weight a matrix is. Raises LookupError for a matrix that the model does not have and for one
        of an expert, and E353 where the layers are read from files as they run."""

    def encode(self, asked: Cloze) -> tuple[tuple[int, ...], int]:
        """The tokens of a prompt with its answer, and how many of the last are the answer's. Without a prompt, every
        token but the first counts as the answer. Raises LookupError where the answer has no token of its own."""

    def run_tokens(self, ids: Any, mask: Any, layer: int | None = None) -> Any:
        """(n, t, d): the states of n texts of t tokens behind the final norm, or the residual stream after a layer.
        They have gradients where what lies beside the layers has some. `mask` (n, t): 0 for padding."""

    def logits(self, states: Any) -> Any:
        """(..., v): the logits for states (..., d) behind the final norm, with their gradients."""
