"""Gradient surgery (DoCo, Wu et al., AAAI 2025, arXiv 2405.15304): what erases does not pull against what stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from editc.passes.training.scheme import Side


@dataclass(frozen=True)
class Surgery:
    """For each factor, with unit gradients a (erase) and b (keep): where <a, b> < 0, a loses `share` of its part along
    b. The joined gradient is a + b in their own lengths."""

    share: float = 1.0
    """How much of the conflicting part is taken away."""

    def gradients(self, losses: Mapping[Side, Any], parameters: list[Any]) -> list[Any]:
        """The joined gradients. A side without terms has none."""
        import torch

        found = {
            side: torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            for side, loss in losses.items()
        }
        if len(found) < 2:
            return list(next(iter(found.values())))
        return [self._join(a, b) for a, b in zip(found["erase"], found["keep"], strict=True)]

    def _join(self, erase: Any, keep: Any) -> Any:
        """The joined gradient of one factor; None stands for 0."""
        if erase is None or keep is None:
            return keep if erase is None else erase
        along = (erase * keep).sum() / keep.square().sum().clamp(min=1e-30)
        return erase - self.share * along.clamp(max=0) * keep + keep
