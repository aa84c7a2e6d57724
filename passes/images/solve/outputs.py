"""How large the outputs of layers are for what is preserved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from editc.core.delta import Array
from editc.core.problem import System
from editc.numerics.squares import half_gram, trace_of_product
from editc.passes.images.measure.base_figures import base_figures, is_wide, moment_hash


@dataclass(frozen=True, eq=False)
class Outputs:
    """The outputs of a system's layers for the rows of one preserved list. No edit changes them, so a search over edits
    measures them once."""

    moment: Array
    """P P^T (d, d) of the rows P."""
    sizes: tuple[float, ...]
    """|W P| of each layer."""

    @classmethod
    def of(cls, system: System) -> tuple[Outputs, ...]:
        """Those of each preserved list, and of the empty prompt last. Each weight is read once."""
        moments = system.preserved.moments
        if is_wide(system):
            known = base_figures(system, moments, system.cache).squares
            squares = [known[moment_hash(moment)] for moment in moments]
        else:
            halves = [half_gram(np.asarray(W)) for W in system.weights]
            squares = [np.array([trace_of_product(half, moment) for half in halves]) for moment in moments]
        sizes = np.sqrt(np.maximum(squares, 0.0))
        return tuple(cls(moment, tuple(of.tolist())) for moment, of in zip(moments, sizes, strict=True))
