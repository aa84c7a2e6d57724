"""Primal-dual unlearning (Entesari et al., 2025, arXiv 2506.05314), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from editc.passes.language.trained.trained import TrainedOnRows

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Term


@dataclass(frozen=True)
class PDU(TrainedOnRows):
    """Make the logits at forgotten tokens flat, while the loss of what is retained stays below a bound.

    push mean (max z - mean z)^2 + w (retain loss - bound), w <- max(0, w + dual_rate (retain loss - bound)) each step

    w begins at `keep`.
    """

    bound: float = 0.3
    """The retain loss that is allowed, in nats per token. Set it a little above what the unedited model has; the report
    has that as `retained_nll_before`. Chosen by hand."""
    dual_rate: float = 1.0
    """How fast the weight of what is retained follows (open-unlearning: 1)."""

    def objective(self) -> Any:
        """What the rows that are forgotten minimise."""
        from editc.passes.language.schemes.objectives.flatten import Flatten

        return Flatten()

    def terms(self) -> tuple[Term, ...]:
        """The loss, with a bound on what is retained."""
        from editc.passes.training.scheme import Bound

        bound = Bound(self.bound, self.dual_rate)
        return tuple(replace(one, bound=bound) if one.side == "keep" else one for one in super().terms())
