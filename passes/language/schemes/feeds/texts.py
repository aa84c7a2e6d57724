"""Rows of a data set, drawn anew for each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from editc.passes.language.schemes.subject import Row, Subject


@dataclass(frozen=True)
class Texts:
    """The rows that are forgotten, or those that are retained."""

    of: Literal["forget", "retain"]
    """Which."""

    def draw(self, subject: Subject, count: int, generator: Any) -> tuple[tuple[Row, ...], tuple[int, ...]]:
        """All rows, and the numbers of at most `count` different ones of them."""
        import torch

        rows = subject.rows(self.of)
        order = torch.randperm(len(rows), generator=generator)[:count]
        return rows, tuple(int(one) for one in order)
