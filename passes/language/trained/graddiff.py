"""Gradient difference (Liu et al., CoLLAs 2022, arXiv 2203.12817), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.trained.trained import TrainedOnRows


@dataclass(frozen=True)
class GradDiff(TrainedOnRows):
    """Make the answers that are forgotten unlikely, and keep those that are retained.

    push mean log p(y_forget) + keep (-mean log p(y_retain))

    The first part has no lower bound: training on it for long destroys the model. `npo` fades out instead.
    """

    def objective(self) -> Any:
        """What the rows that are forgotten minimise."""
        from editc.passes.language.schemes.objectives.ascend import Ascend

        return Ascend()
