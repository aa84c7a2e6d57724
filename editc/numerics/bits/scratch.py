"""Memory for the blocks of rows that `rounded` works on, reused for every block: touching fresh memory pages costs more
than the arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.bits import dtypes

Array: TypeAlias = NDArray[np.float64]
Bits: TypeAlias = NDArray[np.unsignedinteger]

BLOCK_ELEMENTS = 1 << 16
"""Elements worked on at a time. Chosen by hand: the few blocks in use (256 or 512 kB each) stay in the processor's
caches, and the cost of a numpy call is small beside the work."""
SUMMED_BLOCKS = 4
"""Blocks whose rows are summed together. Chosen by hand: at a width of 2048 a block has 32 rows, on which a BLAS takes
twice as long for each. The rows of four take 2 MB in float64."""


@dataclass(frozen=True)
class Scratch:
    """Memory for one block, and for the rows of a few."""

    value: Array
    """(rows, width): for the edited values."""
    ends: Array
    """(2, rows, width): for the numbers between which they lie."""
    bits: NDArray[np.uint32]
    """(4, rows, width)."""
    weights: Array
    """(rows of SUMMED_BLOCKS blocks, width)."""

    @classmethod
    def for_rows(cls, rows: int, width: int) -> Scratch:
        """Allocate memory for a matrix of `rows` rows."""
        block, together = min(rows, block_rows(width)), min(rows, SUMMED_BLOCKS * block_rows(width))
        value, ends = np.empty((block, width)), np.empty((2, block, width))
        return cls(value, ends, np.empty((4, block, width), np.uint32), np.empty((together, width)))

    def first(self, rows: int) -> Scratch:
        """Return a view of the first `rows` rows of the block."""
        return Scratch(self.value[:rows], self.ends[:, :rows], self.bits[:, :rows], self.weights)

    def decode(self, stored: Bits, dtype: str) -> Array:
        """Write the rows `stored` (n, width) into the first of `weights` and return these, (n, width)."""
        W, step = self.weights[: len(stored)], block_rows(stored.shape[1])
        with np.errstate(invalid="ignore"):  # a signalling NaN must not cause a warning
            for start in range(0, len(stored), step):
                np.copyto(W[start : start + step], dtypes.native_values(stored[start : start + step], dtype))
        return W


def block_rows(width: int) -> int:
    """Return how many rows of `width` elements a block has."""
    return max(1, BLOCK_ELEMENTS // width)
