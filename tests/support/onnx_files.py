"""Small ONNX files written field by field, well formed or not, without the onnx library or torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import tiny_files as tiny

from editc.formats.containers import protobuf
from editc.numerics.bits import dtypes

data, number = protobuf.encode_bytes, protobuf.encode_number

TYPES = {"F32": 1, "U8": 2, "I8": 3, "I64": 7, "F16": 10, "F64": 11, "BF16": 16}


def tensor(name: str, dtype: str, shape: Sequence[int], *content: bytes) -> bytes:
    """A TensorProto; `content` are the fields that hold or place its numbers."""
    return b"".join(number(1, size) for size in shape) + number(2, TYPES[dtype]) + data(8, name) + b"".join(content)


def raw(value: bytes) -> bytes:
    """The numbers as bytes in the file itself."""
    return data(9, value)


def outside(**place: object) -> bytes:
    """The numbers in another file: location, offset, length."""
    return b"".join(data(13, pair(key, str(value))) for key, value in place.items()) + number(14, 1)


def pair(key: str, value: str) -> bytes:
    """A StringStringEntryProto."""
    return data(1, key) + data(2, value)


def node(op: str, inputs: Sequence[str], output: str, name: str = "", extra: bytes = b"", **notes: str) -> bytes:
    """A NodeProto; `notes` are its metadata, `pkg.torch.onnx.` added."""
    said = b"".join(data(9, pair(f"pkg.torch.onnx.{key}", value)) for key, value in notes.items())
    ends = b"".join(data(1, one) for one in inputs) + data(2, output)
    return ends + data(3, name or f"node_{output}") + data(4, op) + extra + said


def graph(tensors: Sequence[bytes], nodes: Sequence[bytes] = ()) -> bytes:
    """A GraphProto."""
    return b"".join(data(1, one) for one in nodes) + data(2, "g") + b"".join(data(5, one) for one in tensors)


def model(body: bytes, **notes: str) -> bytes:
    """A ModelProto, opset 17."""
    said = b"".join(data(14, pair(key, value)) for key, value in notes.items())
    return number(1, 8) + data(7, body) + data(8, number(2, 17)) + said


def dynamo(name: str, wrapper: str = "u") -> Mapping[str, str]:
    """What the dynamo exporter notes of a parameter's MatMul."""
    module = f"{wrapper}.{name.removesuffix('.weight')}"
    parameter = f"{wrapper}.{name}".replace(".", "_")
    return {
        "name_scopes": f"['', '{wrapper}', '{module}', 'linear_3']",
        "fx_node": f"%linear_3 : [num_users=1] = call_function[target=linear](args = (%x, %p_{parameter}))",
    }


def legacy(name: str, wrapper: str = "u") -> str:
    """What the legacy exporter calls a parameter's MatMul."""
    return "/" + "/".join([wrapper, *name.removesuffix(".weight").split("."), "MatMul"])


def pico(
    path: Path,
    dtype: str = "F32",
    seed: int = 0,
    external: bool = False,
    said: str = "dynamo",
    flip: bool = True,
    drift: float = 0.0,
) -> Path:
    """The UNet of `tiny_files` as an exporter would write it: projections renamed, transposed, behind a MatMul.

    `said`: `dynamo` or `legacy` for what the nodes say of their origin, `name` for initializers that keep their names,
    `nothing`.
    """
    tensors, nodes, beside = [], [], bytearray()
    for i, (name, (stored, shape, content)) in enumerate(tiny.unet(dtype, seed, drift).items()):
        target = len(shape) == 2
        own = f"val_{i}" if target and said != "name" else f"u.{name}"
        if target and flip:
            content, shape = dtypes.transpose(content, stored, (shape[0], shape[1])), shape[::-1]
        if target:
            title = legacy(name) if said == "legacy" else ""
            notes = dynamo(name) if said == "dynamo" else {}
            nodes.append(node("MatMul", ("x", own), f"y_{i}", title, b"", **notes))
        place = raw(content)
        if external:
            beside += b"\xee" * (-len(beside) % 64)
            place = outside(location="weights.bin", offset=len(beside), length=len(content))
            beside += content
        tensors.append(tensor(own, stored, shape, place))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model(graph(tensors, nodes)))
    if external:
        path.with_name("weights.bin").write_bytes(bytes(beside))
    return path
