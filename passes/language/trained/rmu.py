"""Representation misdirection (RMU, Li et al., ICML 2024, arXiv 2403.03218), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from editc.passes.language.trained.trained import TrainedOnRows


@dataclass(frozen=True)
class RMU(TrainedOnRows):
    """Send the residual stream at forgotten answers to a random direction, and keep it at retained ones.

    push mean (h - coefficient u)^2 + keep mean (h - h_before)^2, h the stream after the last layer that is trained

    Trained are the last matrices of three MLPs, by default those 7/32 of the way up, as published for 7B models.
    """

    coefficient: float = 20.0
    """How long the random goal is (published: 2 to 20, in units of the model's own stream)."""
    seed: int = 0
    """Where the random direction starts; left out: the manifest's seed."""
    keep_by: Literal["nll", "kl", "stream"] = "stream"
    """How the retain set stays: see the other methods. Published: `stream`."""
    roles: ClassVar[tuple[str, ...]] = ("mlp",)
    """The roles of the matrices that it changes where the manifest names none."""

    def objective(self) -> Any:
        """What the rows that are forgotten minimise."""
        from editc.passes.language.schemes.objectives.steer import Steer

        return Steer(self.coefficient, self.seed)

    @staticmethod
    def usual_layers(count: int) -> tuple[int, ...]:
        """Three layers, the last of them 7/32 of the way up."""
        last = round(7 * count / 32)
        return tuple(range(max(last - 2, 0), last + 1))
