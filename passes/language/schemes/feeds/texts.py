"""Rows of a data set, drawn anew for each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.subject import Part, Row, Subject


@dataclass(frozen=True)
class Texts:
    """The rows of one part."""

    of: Part
    """Which."""

    def draw(self, subject: Subject, count: int, generator: Any) -> tuple[tuple[Row, ...], tuple[int, ...]]:
        """All rows, and the numbers of at most `count` different ones of them."""
        import torch

        rows = subject.rows(self.of)
        order = torch.randperm(len(rows), generator=generator)[:count]
        return rows, tuple(int(one) for one in order)
