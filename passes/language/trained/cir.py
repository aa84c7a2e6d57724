"""Collapse of irrelevant representations (CIR, Sondej and Yang, 2025, arXiv 2509.11816), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from editc.passes.language.trained.trained import TrainedOnRows


@dataclass(frozen=True)
class CIR(TrainedOnRows):
    """Turn what MLPs make of forgotten answers away from where it pointed, by what is specific to these answers alone.

    push mean max(0, <o, o_before>) / s^2 + keep (retain loss)

    The gradients of the first part lack what they share with all text: the mean and the leading principal components of
    what each matrix reads, and of what comes back to it. Published: gate, up and down matrices of layers 6 to 12 of 16,
    whole weights, a step of a fixed length.
    """

    read: int = 24
    """Principal components that are taken out of what a matrix reads (published: 24)."""
    back: int = 36
    """The same for the gradients that come back to it (published: 36)."""
    every: int = 10
    """Steps between two searches for these components (published: an epoch)."""
    keep_by: Literal["nll", "kl", "stream"] = "stream"
    """How the retain set stays: see the other methods. Published: `stream`."""
    roles: ClassVar[tuple[str, ...]] = ("mlp",)
    """The roles of the matrices that it changes where the manifest names none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.relearn:
            raise ValueError("`relearn` and the search for components cannot be had together")
        for name in ("read", "back", "every"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)}: it must be 1 or more")

    @staticmethod
    def usual_layers(count: int) -> tuple[int, ...]:
        """Layers from three eighths to three quarters of the way up, as published."""
        return tuple(range(round(3 * count / 8), max(round(3 * count / 4), 1)))

    def objective(self) -> Any:
        """What the rows that are forgotten minimise."""
        from editc.passes.language.schemes.objectives.confuse import Confuse

        return Confuse()

    def terms(self) -> tuple[Any, ...]:
        """The loss; what is forgotten is asked without the components."""
        from dataclasses import replace

        return tuple(replace(one, attacked=one.side == "erase") for one in super().terms())

    def adversary(self) -> Any:
        """What finds the components."""
        from editc.passes.language.schemes.adversaries.collapse import Collapse

        return Collapse(self.every, self.objective(), self.read, self.back, self.batch)
