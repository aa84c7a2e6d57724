"""Find NaN and infinity in a checkpoint, reading a few megabytes at a time and decoding nothing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from editc.formats.containers.ranges import map_ahead, read_pieces
from editc.formats.models.model import Checkpoint, Tensor

STEP = 8 << 20
"""Bytes that are looked at together. Chosen by hand."""
LIMITS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "F64": ("8", 0x7FF0_0000_0000_0000),
        "F32": ("4", 0x7F80_0000),
        "F16": ("2", 0x7C00),
        "BF16": ("2", 0x7F80),
        "F8_E5M2": ("1", 0x7C),
        "F8_E4M3": ("1", 0x7F),
    }
)
"""dtype -> (bytes of a number, its smallest positive bit pattern that is infinity or NaN; every larger one is NaN)."""


def find_non_finite(checkpoint: Checkpoint) -> list[str]:
    """The names of tensors that hold NaN or infinity, sorted. Tensors of integers and packed numbers cannot hold
    any."""
    names = [name for name in checkpoint.names() if checkpoint.dtype(name) in LIMITS]
    found = map_ahead(_is_finite, [checkpoint.where(name) for name in names])
    return [name for name, finite in zip(names, found, strict=True) if not finite]


def _is_finite(tensor: Tensor) -> bool:
    """True where all numbers are finite.

    Bit patterns are compared as integers: those of positive numbers grow with the number, and the sign bit makes those
    of negative numbers the largest unsigned integers.
    """
    size, limit = LIMITS[tensor.dtype]
    sign = 1 << (8 * int(size) - 1)
    for raw in read_pieces(tensor.file, tensor.offset, tensor.nbytes, STEP):
        if raw and (
            np.frombuffer(raw, f"<i{size}").max() >= limit or np.frombuffer(raw, f"<u{size}").max() >= sign + limit
        ):
            return False
    return True
