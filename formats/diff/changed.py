"""One tensor of two models: where its bytes are before and after, and its values in the dtype in which they are
compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from editc.core.delta import Array
from editc.core.site_bytes import matrix_shape
from editc.formats.models.model import Tensor
from editc.numerics.bits import dtypes

CAST_DTYPES = ("F32", "F16", "BF16")
"""Dtypes between which a model may be rounded when a script loads and saves it."""


@dataclass(frozen=True)
class ChangedTensor:
    """A tensor that both models have.

    Where EDITED is stored in another dtype, BASE is rounded to that dtype, each weight once, before they are compared.
    """

    component: str
    """The component, as BASE names it."""
    name: str
    """The tensor's name in BASE."""
    before: Tensor
    """The tensor in BASE."""
    after: Tensor
    """The tensor in EDITED."""
    flipped: bool = False
    """True for a matrix that the program stores as (d_in, d_out)."""

    @property
    def shape(self) -> tuple[int, int]:
        """The tensor's shape as a matrix, (d_out, d_in)."""
        rows, columns = self._stored
        return (columns, rows) if self.flipped else (rows, columns)

    @property
    def _stored(self) -> tuple[int, int]:
        """The matrix shape as the files store it: (d_in, d_out) where `flipped`."""
        rows, columns = matrix_shape(self.before.shape)
        return rows, columns

    @property
    def nbytes(self) -> int:
        """Size of the tensor in EDITED, in bytes."""
        return self.after.nbytes

    @property
    def dtype(self) -> str:
        """The dtype in which EDITED stores it."""
        return self.after.dtype

    @property
    def cast(self) -> bool:
        """True where BASE stores it in another dtype than EDITED."""
        return self.before.dtype != self.after.dtype

    def raw(self) -> tuple[bytes, bytes]:
        """The bytes before and after, both in EDITED's dtype."""
        first = self.before.read_stored()
        return dtypes.encode(self.base_values(first), self.dtype) if self.cast else first, self.after.read_stored()

    def differs(self) -> bool:
        """True unless the bytes are equal."""
        first, second = self.raw()
        return first != second

    def values(self) -> tuple[Array, Array]:
        """The values before and after in float64, two matrices (d_out, d_in)."""
        first, second = (dtypes.decode(raw, self.dtype, self._stored) for raw in self.raw())
        return (np.ascontiguousarray(first.T), np.ascontiguousarray(second.T)) if self.flipped else (first, second)

    def base_values(self, raw: bytes | None = None) -> Array:
        """BASE in float64, unrounded, as a matrix in the orientation of the file; `raw` are its bytes where they were
        read already."""
        return dtypes.decode(self.before.read_stored() if raw is None else raw, self.before.dtype, self._stored)

    def is_editable(self) -> bool:
        """True where a delta can hold the change: finite weights of a dtype that can be edited."""
        return self.dtype in dtypes.EDITABLE and all(map(_finite_test(self.dtype), self.raw()))


def _finite_test(dtype: str) -> Callable[[bytes], bool]:
    """A function that says whether bytes of this dtype are finite numbers."""
    return lambda raw: dtypes.is_finite(raw, dtype)
