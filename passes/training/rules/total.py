"""The plain sum of both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from editc.passes.training.scheme import Side


@dataclass(frozen=True)
class Total:
    """One loss: what erases plus what stays."""

    def gradients(self, losses: Mapping[Side, Any], parameters: list[Any]) -> list[Any]:
        """The gradients of the sum. Rows of an adversary get theirs as well."""
        sum(losses.values()).backward()
        return [one.grad for one in parameters]
