"""Write a small ONNX model field by field, without the onnx library: the same bytes for the same content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.formats.containers.protobuf import encode_bytes, encode_number

IR_VERSION, OPSET = 8, 17
"""Those of ONNX 1.12 (2022), which the runtimes in use read; the operators used here are older."""
TYPES: Mapping[str, int] = {"F32": 1, "F16": 10, "F64": 11, "BF16": 16}
"""Dtype as safetensors names it -> TensorProto.DataType."""
_INTS, _INT, _STRING = 7, 2, 3
"""AttributeProto.AttributeType of a list of integers, an integer and a text."""


@dataclass(frozen=True)
class GraphValue:
    """An input or output of a graph."""

    name: str
    """Its name."""
    dtype: str
    """Its dtype as safetensors says it."""
    shape: Sequence[int | str]
    """Its sizes. A text stands for any size, and for the same size wherever it stands."""


def encode_node(op: str, inputs: Sequence[str], output: str, **attributes: int | str | Sequence[int]) -> bytes:
    """The bytes of a NodeProto. It has one output, and the name of the output is the name of the node."""
    ends = b"".join(encode_bytes(1, one) for one in inputs) + encode_bytes(2, output)
    encoded = b"".join(encode_bytes(5, _encode_attribute(name, value)) for name, value in attributes.items())
    return ends + encode_bytes(3, output) + encode_bytes(4, op) + encoded


def encode_model(
    nodes: Iterable[bytes],
    tensors: Mapping[str, NDArray[np.floating]],
    inputs: Sequence[GraphValue],
    outputs: Sequence[GraphValue],
    metadata: Mapping[str, str],
) -> bytes:
    """The bytes of a ModelProto whose graph has these nodes, initializers, inputs and outputs.

    `tensors`: name -> initializer, of any shape; float64 is stored as such, everything else as float32.
    """
    graph = b"".join(encode_bytes(1, one) for one in nodes) + encode_bytes(2, "editc")
    graph += b"".join(encode_bytes(5, _encode_tensor(name, values)) for name, values in tensors.items())
    graph += b"".join(encode_bytes(11, encode_value_info(one)) for one in inputs) + b"".join(
        encode_bytes(12, encode_value_info(one)) for one in outputs
    )
    head = (
        encode_number(1, IR_VERSION)
        + encode_bytes(2, "editc")
        + encode_bytes(7, graph)
        + encode_bytes(8, encode_bytes(1, "") + encode_number(2, OPSET))
    )
    return head + b"".join(
        encode_bytes(14, encode_bytes(1, key) + encode_bytes(2, text)) for key, text in metadata.items()
    )


def _encode_attribute(name: str, value: int | str | Sequence[int]) -> bytes:
    """The bytes of an AttributeProto."""
    if isinstance(value, int):
        return encode_bytes(1, name) + encode_number(3, value) + encode_number(20, _INT)
    if isinstance(value, str):
        return encode_bytes(1, name) + encode_bytes(4, value) + encode_number(20, _STRING)
    return encode_bytes(1, name) + b"".join(encode_number(8, one) for one in value) + encode_number(20, _INTS)


def _encode_tensor(name: str, values: NDArray[Any]) -> bytes:
    """The bytes of a TensorProto: float64 as such, everything else as float32."""
    dtype, stored = ("F64", "<f8") if values.dtype == np.float64 else ("F32", "<f4")
    sizes = b"".join(encode_number(1, size) for size in values.shape)
    return (
        sizes
        + encode_number(2, TYPES[dtype])
        + encode_bytes(8, name)
        + encode_bytes(9, values.astype(stored).tobytes())
    )


def encode_value_info(one: GraphValue) -> bytes:
    """The bytes of a ValueInfoProto: name, dtype and shape of an input or output."""
    sizes = b"".join(
        encode_bytes(1, encode_number(1, s) if isinstance(s, int) else encode_bytes(2, s)) for s in one.shape
    )
    return encode_bytes(1, one.name) + encode_bytes(
        2, encode_bytes(1, encode_number(1, TYPES[one.dtype]) + encode_bytes(2, sizes))
    )
