"""What must stay: the edited model answers the retain set as the data say, or as the unedited model does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.ask import Ask


@dataclass(frozen=True)
class StayLikely:
    """-mean log p(token), over the tokens of the retained answers."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the tokens."""
        return ask.edited().nll


@dataclass(frozen=True)
class StayClose:
    """mean KL(p_before | p) of the next token, over the tokens of the retained answers.

    open-unlearning sums over all tokens of a row, padding among them, and divides by the rows of a batch.
    """

    def loss(self, ask: Ask) -> Any:
        """The mean over the tokens."""
        before, after = ask.frozen().log_probabilities, ask.edited().log_probabilities
        return (before.exp() * (before - after)).sum(-1).mean()
