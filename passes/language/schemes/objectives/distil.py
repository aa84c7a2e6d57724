"""Self-distillation with adjusted logits (UNDIAL, Dong et al., NAACL 2025, arXiv 2402.10052)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.ask import Ask


@dataclass(frozen=True)
class Distil:
    """mean over tokens of the cross-entropy to softmax(z_before - beta e_y): the unedited model's logits, with `beta`
    taken from that of the answer's own token y.

    open-unlearning takes the mean over every position of a row, prompt and padding among them.
    """

    beta: float = 10.0
    """How much is taken from the logit of the answer's token."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the tokens of the answers."""
        before = ask.frozen()
        goal = before.logits.clone()
        goal[range(len(goal)), before.batch.targets] -= self.beta
        return -(goal.softmax(-1) * ask.edited().log_probabilities).sum(-1).mean()
