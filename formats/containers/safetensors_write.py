"""Write safetensors files canonically: the same bytes for the same tensors and metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.formats.containers.canonical import canonical_json
from editc.numerics.bits import dtypes

StoredTensor: TypeAlias = tuple[str, tuple[int, ...], bytes]
"""A tensor as a file stores it: dtype, shape, bytes."""


def header_bytes(rows: Iterable[tuple[str, str, Sequence[int], int]], metadata: Mapping[str, str]) -> bytes:
    """The bytes before the tensors: a length, canonical JSON, and spaces up to a multiple of 8.

    `rows` has name, dtype, shape and number of bytes of each tensor, in the order in which their bytes follow.
    """
    document: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for name, dtype, shape, size in rows:
        document[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = canonical_json(document).encode("ascii")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def file_bytes(tensors: Mapping[str, StoredTensor], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a whole file with these tensors, which are sorted by name."""
    rows = [(name, *tensors[name][:2], len(tensors[name][2])) for name in sorted(tensors)]
    return b"".join([header_bytes(rows, metadata), *(tensors[name][2] for name in sorted(tensors))])


def encode_tensor(values: NDArray[Any], dtype: str) -> StoredTensor:
    """An array of any shape, rounded to `dtype`, as `file_bytes` takes it."""
    return dtype, values.shape, dtypes.encode(values.astype(np.float64), dtype)
