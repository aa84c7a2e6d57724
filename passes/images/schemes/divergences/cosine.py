"""One minus the cosine: only the direction of an answer counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cosine:
    """(n,): 1 - <a, b> / (|a| |b|)."""

    def __call__(self, a: Any, b: Any) -> Any:
        """Compare `a` with `b`, (n, c, h, w) both."""
        import torch

        return 1 - torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1), dim=1)
