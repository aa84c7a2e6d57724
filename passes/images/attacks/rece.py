"""RECE's derived embedding: rows that the edited keys and values still read as the concept (Gong et al., ECCV 2024,
arXiv 2407.12383, eq. 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.delta import Array
from editc.core.measurements import Access
from editc.numerics import adversary
from editc.numerics.ball import join_balls
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.attacks.closed_rows import paint_closed_rows


@dataclass(frozen=True)
class Rece:
    """Each row of a sentence that names the concept is replaced by RECE's derived row, brought into the set of rows
    that the text encoder can give. It sees keys and values alone: an edit elsewhere is invisible to it."""

    regular: float = 0.1
    """r, the weight of |C'|^2, as published."""

    summary: ClassVar[str] = "RECE's derived embedding, brought into the encoder's ball"
    access: ClassVar[Access] = "rows"
    quick: ClassVar[Mapping[str, Any]] = {}
    thorough: ClassVar[Mapping[str, Any]] = {}

    def run(self, case: Case) -> Outcome:
        """Derive the rows, and paint from them."""
        ellipsoid = join_balls(case.model.balls())

        def find(keys: Array, gram: Array, cross: Array, base: Array) -> Array:
            return ellipsoid.move_inside(adversary.derive(keys, keys, gram, cross, self.regular, "regzero"))

        return paint_closed_rows(case, find)
