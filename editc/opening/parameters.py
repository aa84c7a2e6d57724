"""How the parameters of a text encoder are read from its files: all at once where they are few, else one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from editc.backends.encoders.arrays import Read, Shape
from editc.core.diagnostics import EditcError
from editc.formats.models.model import Checkpoint
from editc.libraries.loading import TensorMismatch
from editc.numerics.bits import dtypes

UNUSUAL = (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, EditcError)
"""What files that are not as published may raise while they are opened. They are left to transformers."""
FindBroken: TypeAlias = Callable[[Checkpoint], Sequence[str]]
"""Finds the tensors that hold NaN or infinity."""
KEPT = 256 << 20
"""Parameters of at most this many bytes in float32 together are read once and kept; of larger models each is read when
it is needed, so that memory holds one of them. Chosen by hand: CLIP-L has 492 MB."""


def parameter_reader(
    weights: Checkpoint, names: Mapping[str, str], shapes: Mapping[str, Shape], unused: Sequence[str]
) -> Read:
    """How the parameters `shapes` are read. `names` maps the network's names to those in the files, for every tensor
    there; tensors that match a pattern of `unused` do not matter.

    Raises ValueError where the files hold other tensors than the network, in other shapes, or in another type than the
    float types that are edited.
    """
    shared = [(name, weights.shape(names[name]), shape) for name, shape in shapes.items() if name in names]
    found = TensorMismatch.of(
        shapes.keys() - names.keys(),
        (names[name] for name in names.keys() - shapes.keys()),
        [one for one in shared if one[1] != one[2]],
        unused,
    )
    if not found.empty or any(weights.dtype(names[name]) not in dtypes.EDITABLE for name in shapes):
        raise ValueError("other parameters")

    def read(name: str) -> Any:
        stored = names[name]
        values = dtypes.native_floats(weights.raw(stored), weights.dtype(stored)).reshape(shapes[name])
        return values.astype(np.float32, copy=False) if small else values

    small = is_small(shapes)
    return lru_cache(None)(read) if small else read


def is_small(shapes: Mapping[str, Shape]) -> bool:
    """True where the parameters are read once and kept."""
    return 4 * sum(int(np.prod(shape)) for shape in shapes.values()) <= KEPT


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises OSError and ValueError."""
    return json.loads(path.read_text(encoding="utf-8"))
