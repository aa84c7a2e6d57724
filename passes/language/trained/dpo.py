"""Direct preference optimisation on "I don't know" (TOFU, arXiv 2401.06121), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from editc.passes.language.trained.trained import TrainedOnRows


@dataclass(frozen=True)
class DPO(TrainedOnRows):
    """Prefer "I don't know" to the answers that are forgotten.

    push (-(2 / beta) mean log sigmoid(beta (log p(r) / p_before(r) - log p(y) / p_before(y)))) + keep (retain loss)

    y are the answers, r refusals from a list that editc has. Rows of plain text, which have no prompt, are their own
    refusal: they push nothing.
    """

    beta: float = 0.1
    """How fast the push fades once the refusal has gained on the answer (published: 0.1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0:
            raise ValueError(f"`beta` is {self.beta:g}: it must be more than 0")

    needs_prompts: ClassVar[bool] = True
    """A refusal needs a prompt before it."""

    def objective(self) -> Any:
        """What the rows that are forgotten minimise."""
        from editc.passes.language.schemes.objectives.prefer import PreferRefusal

        return PreferRefusal(self.beta)
