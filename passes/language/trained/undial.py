"""Self-distillation with adjusted logits (UNDIAL, Dong et al., NAACL 2025), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.trained.trained import TrainedOnRows


@dataclass(frozen=True)
class UNDIAL(TrainedOnRows):
    """Learn the unedited model's own distribution, with the logit of each forgotten token lowered.

    push mean cross-entropy to softmax(z_before - beta e_y) + keep (retain loss)

    The goal is fixed, so the training converges. arXiv 2402.10052.
    """

    beta: float = 10.0
    """How much is taken from the logit of the answer's token (open-unlearning: 10)."""
    keep: float = 0.0
    """Weight of what is retained (published: 0, and no retain set). 0: the retain set is only measured."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0:
            raise ValueError(f"`beta` is {self.beta:g}: it must be more than 0")

    def objective(self) -> Any:
        """What the rows that are forgotten minimise."""
        from editc.passes.language.schemes.objectives.distil import Distil

        return Distil(self.beta)
