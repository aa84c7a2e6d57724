"""The certificate's attack: of all rows that the encoder can give, those that come nearest to the concept's own in the
edited keys and values (docs/explanation/certificate.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.delta import Array
from editc.core.measurements import Access
from editc.numerics import trust
from editc.numerics.ball import join_balls
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.attacks.closed_rows import paint_closed_rows


@dataclass(frozen=True)
class Certificate:
    """Each row of a sentence that names the concept is replaced by the exact minimiser over the encoder's ball. It sees
    keys and values alone: an edit elsewhere is invisible to it, and other rows may paint the concept all the same."""

    summary: ClassVar[str] = "the encoder's rows that come nearest to the concept in the edited keys and values"
    access: ClassVar[Access] = "rows"
    quick: ClassVar[Mapping[str, Any]] = {}
    thorough: ClassVar[Mapping[str, Any]] = {}

    def run(self, case: Case) -> Outcome:
        """Find the rows, and paint from them."""
        ellipsoid = join_balls(case.model.balls())

        def find(keys: Array, gram: Array, cross: Array, base: Array) -> Array:
            return trust.nearest_problem(ellipsoid, gram, cross, base).minimise(keys).points

        return paint_closed_rows(case, find)
