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


@dataclass(frozen=True)
class Scratch:
    """Memory for one block, and for the rows of a few."""

    value: Array
    """(rows, width): for the edited values."""
    end: Array
    """(rows, width): for a number beside each of them."""
    bits: NDArray[np.uint32]
    """(3, rows, width)."""
    last: NDArray[np.uint16]
    """(rows, width): for the last bits of patterns."""
    weights: Array
    """(rows that are summed together, width)."""

    @classmethod
    def for_rows(cls, rows: int, width: int, together: int) -> Scratch:
        """Allocate memory for a matrix of `rows` rows, of which `together` are summed together."""
        shape = min(rows, block_rows(width)), width
        value, end, weights = np.empty(shape), np.empty(shape), np.empty((min(rows, together), width))
        return cls(value, end, np.empty((3, *shape), np.uint32), np.empty(shape, np.uint16), weights)

    def first(self, rows: int) -> Scratch:
        """Return a view of the first `rows` rows of the block."""
        return Scratch(self.value[:rows], self.end[:rows], self.bits[:, :rows], self.last[:rows], self.weights)

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
