"""Gradient ascent on the answers that are forgotten (Jang et al., ACL 2023, arXiv 2210.01504)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.ask import Ask


@dataclass(frozen=True)
class Ascend:
    """mean log p(token), over the tokens of the answers. It has no lower bound."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the tokens."""
        return -ask.edited().nll
