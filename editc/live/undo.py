"""What `unload` needs of each edited matrix: little where the delta itself leads back, else the old bytes.

An edit that is taken out by its own factors ends near the old weights: rounding leaves other last bits in some of them.
These are kept as the exclusive or, packed. Measured on a matrix of 1280 x 768 and rank 8: 3 to 13 % of its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from editc.core.delta import Factors
from editc.core.diagnostics import fail
from editc.core.site_bytes import edit_bytes
from editc.formats.apply.target import TargetTensor
from editc.live.slots import Slot
from editc.live.storage import read, restore
from editc.numerics.bits import dtypes, planes


@dataclass(frozen=True)
class Undo:
    """How one edit is taken out again."""

    slot: Slot
    """Where the matrix is."""
    target: TargetTensor
    """The target, with the sha256 of the matrix before the edit, and the factors of the edit."""
    result: str
    """The sha256 of the matrix with the edit."""
    kept: bytes | planes.Packed
    """The old bytes; or what leads to them from the bytes that the factors lead back to."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory that are kept."""
        return len(self.kept)

    def old_bytes(self, new: bytes) -> bytes:
        """The bytes before the edit, from those after it."""
        if isinstance(self.kept, bytes):
            return self.kept
        return planes.unpack(take_out(self.target, new), self.kept, _item(self.target))

    def undo(self) -> None:
        """Put the old bytes back, unless they are there. Raises E627 if they cannot be computed as they were."""
        now = read(self.slot)
        if dtypes.sha256(now) == self.target.base:
            return
        old = self.old_bytes(now)
        if dtypes.sha256(old) != self.target.base:
            message = f"the old weights of '{self.target.record.site.name}' came out otherwise than they were"
            help_text = "load the model again; this is a fault of editc or of this machine's memory"
            raise fail("E627", message, help=help_text)
        restore(self.slot, old)


def remember(slot: Slot, target: TargetTensor, result: str, old: bytes, new: bytes) -> Undo:
    """Keep what leads from the bytes `new` of an edited matrix back to `old`, whichever way takes less memory."""
    near = take_out(target, new)
    change = planes.pack(near, old, _item(target))
    small = len(change) < len(old) and dtypes.is_finite(near, target.tensor.dtype)
    return Undo(slot, target, result, change if small else old)


def take_out(target: TargetTensor, new: bytes) -> bytes:
    """The bytes of an edited matrix after the edit is taken out by its factors: near the old ones, or equal to them."""
    factors = target.factors
    if factors.form == "xor":  # a change of bits undoes itself
        return edit_bytes(new, target.tensor.dtype, target.record.site, factors, target.k)
    back = _inverse(factors, target.k)
    if back is None:
        return new
    return edit_bytes(new, target.tensor.dtype, target.record.site, back, target.k, exact=False)


def _inverse(factors: Factors, k: int) -> Factors | None:
    """The edit that takes an edit out: W - L R for W + L R, and W - W U (I + V U)^-1 V for W + W U V. None if that is
    not finite."""
    lefts: list[Any] = list(factors.left)
    if factors.form == "shared":
        left, right = (part.astype(np.float64) for part in (factors.left[0], factors.right[0]))
        try:
            lefts[0] = -np.linalg.solve((np.eye(len(right)) + right @ left).T, left.T).T
        except np.linalg.LinAlgError:  # the edit maps some directions to nothing
            return None
        return Factors("shared", factors.sites, tuple(lefts), factors.right) if np.isfinite(lefts[0]).all() else None
    lefts[k] = -lefts[k]
    return Factors(factors.form, factors.sites, tuple(lefts), factors.right)


def _item(target: TargetTensor) -> int:
    """Bytes of one number."""
    return dtypes.BITS[target.tensor.dtype] // 8
