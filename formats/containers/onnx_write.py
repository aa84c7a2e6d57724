"""A small ONNX model, written field by field: the same bytes for the same content, without the onnx library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.formats.containers.protobuf import data, number

IR_VERSION, OPSET = 8, 17
"""Those of ONNX 1.12 (2022), which runtimes in use read; the operators used here are older."""
TYPES: Mapping[str, int] = {"F32": 1, "F16": 10, "F64": 11, "BF16": 16}
_INTS, _INT, _STRING = 7, 2, 3
"""AttributeProto.AttributeType."""


@dataclass(frozen=True)
class GraphValue:
    """An input or output of a graph."""

    name: str
    """Its name."""
    dtype: str
    """Its dtype as safetensors says it."""
    shape: Sequence[int | str]
    """Its sizes. A size that is a text may be anything, the same wherever the text stands."""


def node(op: str, inputs: Sequence[str], output: str, **attributes: int | str | Sequence[int]) -> bytes:
    """A NodeProto with one output, which is its name too."""
    ends = b"".join(data(1, one) for one in inputs) + data(2, output)
    said = b"".join(data(5, _attribute(name, value)) for name, value in attributes.items())
    return ends + data(3, output) + data(4, op) + said


def model(
    nodes: Iterable[bytes],
    tensors: Mapping[str, NDArray[np.floating]],
    inputs: Sequence[GraphValue],
    outputs: Sequence[GraphValue],
    metadata: Mapping[str, str],
) -> bytes:
    """A ModelProto whose graph has these nodes, float32 and float64 initializers, inputs and outputs."""
    graph = b"".join(data(1, one) for one in nodes) + data(2, "editc")
    graph += b"".join(data(5, _tensor(name, values)) for name, values in tensors.items())
    graph += b"".join(data(11, value_info(one)) for one in inputs) + b"".join(
        data(12, value_info(one)) for one in outputs
    )
    head = number(1, IR_VERSION) + data(2, "editc") + data(7, graph) + data(8, data(1, "") + number(2, OPSET))
    return head + b"".join(data(14, data(1, key) + data(2, text)) for key, text in metadata.items())


def _attribute(name: str, value: int | str | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return data(1, name) + number(3, value) + number(20, _INT)
    if isinstance(value, str):
        return data(1, name) + data(4, value) + number(20, _STRING)
    return data(1, name) + b"".join(number(8, one) for one in value) + number(20, _INTS)


def _tensor(name: str, values: NDArray[Any]) -> bytes:
    dtype, stored = ("F64", "<f8") if values.dtype == np.float64 else ("F32", "<f4")
    sizes = b"".join(number(1, size) for size in values.shape)
    return sizes + number(2, TYPES[dtype]) + data(8, name) + data(9, values.astype(stored).tobytes())


def value_info(one: GraphValue) -> bytes:
    """The bytes of a ValueInfoProto."""
    sizes = b"".join(data(1, number(1, s) if isinstance(s, int) else data(2, s)) for s in one.shape)
    return data(1, one.name) + data(2, data(1, number(1, TYPES[one.dtype]) + data(2, sizes)))
