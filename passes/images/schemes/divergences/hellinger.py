"""The squared Hellinger distance, which far answers do not dominate (f-divergence unlearning, arXiv 2509.21167)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hellinger:
    """(n,): 1 - exp(-m), m the mean square of a - b. Its gradient is the mean square's, weighed by exp(-m)."""

    def __call__(self, a: Any, b: Any) -> Any:
        """Compare `a` with `b`, (n, c, h, w) both."""
        return 1 - (-(a - b).flatten(1).square().mean(1)).exp()
