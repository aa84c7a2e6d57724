"""Find the tensors of an ONNX file and the byte range of each, without the onnx library and without reading their
bytes.

A tensor is an initializer of the graph or the value of a Constant node. Those of subgraphs (If, Loop) and of functions
count too. A file that is not well formed is refused (E661), never repaired. Source: onnx.proto, IR version 10.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from editc.core.diagnostics import fail
from editc.formats.containers.canonical import DELTA_KEY, pause_collection
from editc.formats.containers.protobuf import BYTES, VARINT, Field, Range, WireError, WireReader
from editc.formats.containers.safetensors import Header, TensorEntry, open_file
from editc.numerics.bits import dtypes

TYPES: Mapping[int, str] = {
    **{1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64"},
    **{12: "U32", 13: "U64", 14: "C64", 16: "BF16", 17: "F8_E4M3", 18: "F8_E4M3FNUZ", 19: "F8_E5M2"},
    **{20: "F8_E5M2FNUZ", 24: "F8_E8M0"},
}
"""TensorProto.DataType -> dtype as safetensors names it. Types that are missing here (texts, 4-bit integers) cannot be
edited anyway."""
_MAX_DEPTH, _MAX_DIMENSIONS, _MAX_TEXT = 16, 32, 1 << 16
"""Limits for hostile files, chosen by hand: subgraphs within subgraphs, dimensions of a tensor, bytes of a name or
text."""
_MAX_DESCRIPTION = 256 << 20
"""Limit for hostile files, chosen by hand: bytes of the delta description that editc writes into the metadata."""
_UseFields: TypeAlias = tuple[str, int, Range, bool]
"""The fields of a `TensorUse`, while the name of the tensor is still to be resolved."""
_USE_STEPS, _TENSOR_STEPS = 3, 9
"""Steps (`WireReader.spend`) that a use and a tensor cost when they are stored, so that hostile files run out of
them."""
_ONCE = (2, 8, 9, 14)
"""Fields of a TensorProto that must not come twice: data type, name, raw bytes, and where external bytes are."""


@dataclass(frozen=True)
class GraphTensor:
    """A tensor of a graph, without its values."""

    dtype: str
    """Its dtype as safetensors says it."""
    shape: tuple[int, ...]
    """Its shape, row-major."""
    span: Range | None = None
    """The range of its bytes in the .onnx file itself. None where they are in another file, or where `reason` says why
    they cannot be used."""
    external: Mapping[str, str] | None = None
    """`location`, `offset` and `length` as the file gives them, where the bytes are in another file. None where they
    are not."""
    reason: str = ""
    """Why it cannot be edited where it is. Empty where `span` or `external` is there."""


@dataclass(frozen=True)
class TensorUse:
    """One node that takes a tensor as an input."""

    op: str
    """The node's operator."""
    index: int
    """Which of the node's inputs the tensor is, from 0."""
    node: Range
    """The byte range of the node in the file."""
    transposed: bool = False
    """Whether the node transposes the tensor: a Gemm with transB = 1."""


@dataclass
class Graph:
    """What an ONNX file holds, without any tensor's bytes."""

    path: Path
    """The file."""
    tensors: dict[str, GraphTensor] = field(default_factory=dict)
    """Name -> tensor: initializers, and values of Constant nodes. A name inside a subgraph has the path of its nodes
    before it."""
    uses: dict[str, list[TensorUse]] = field(default_factory=dict)
    """Name of a tensor -> the nodes that take it as an input. Tensors that no node takes are missing."""
    metadata: dict[str, Range] = field(default_factory=dict)
    """Key of the model's own metadata -> the byte range of its value in the file."""

    @property
    def external_locations(self) -> tuple[str, ...]:
        """The files of external data, as the file names them, sorted; empty where all bytes are in the .onnx file."""
        return tuple(
            sorted({tensor.external.get("location", "") for tensor in self.tensors.values() if tensor.external})
        )


def read_graph(path: Path) -> Graph:
    """Read the graph in the file at `path`. Raises E610 (cannot be opened), E618 (Git LFS pointer) and E661
    (malformed)."""
    with file_errors(path), open_file(path) as (file, size), pause_collection():
        wire = WireReader(file, size)
        return _Reader(wire, Graph(path)).read_model()


def read_factors(path: Path) -> Header:
    """A header with the float32 tensors that the file itself holds, which is where editc writes the factors of a delta,
    and with the description of the delta where there is one. Raises E610, E618 and E661."""
    graph = read_graph(path)
    text = metadata_value(graph, DELTA_KEY)
    factors = {
        name: tensor for name, tensor in graph.tensors.items() if tensor.span is not None and tensor.dtype == "F32"
    }
    entries = {name: TensorEntry("F32", tensor.shape, *tensor.span) for name, tensor in factors.items() if tensor.span}
    return Header(entries, {DELTA_KEY: text} if text else {}, 0)


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn what reading the file raises inside the `with` block into E610 (OSError) and E661 (WireError)."""
    try:
        yield
    except OSError as error:
        raise fail("E610", f"the file cannot be read: {error.strerror}", place=str(path)) from error
    except WireError as error:
        message = f"this is not a well-formed ONNX file: {error}"
        help_ = "fetch or export the file again, and compare its size and sha256 with the publisher's"
        raise fail("E661", message, place=str(path), help=help_) from error


def metadata_value(graph: Graph, key: str) -> str:
    """The value of a key of the model's metadata; '' where the model has no such key. Raises E661."""
    span = graph.metadata.get(key)
    if span is None:
        return ""
    with file_errors(graph.path), graph.path.open("rb") as file:
        return WireReader(file, span[1]).read_text(span, _MAX_DESCRIPTION)


def provenance(path: Path, node: Range) -> Mapping[str, str]:
    """What a node says about its origin: its `name`, and the metadata that PyTorch's exporter writes
    (`pkg.torch.onnx.*`).

    `node` is the byte range from a `TensorUse`. Raises E661.
    """
    with file_errors(path), path.open("rb") as file:
        wire = WireReader(file, node[1])
        found: dict[str, str] = {}
        for part in wire.fields(node, (3, 9)):
            if part.kind == BYTES and part.number == 3:
                found["name"] = wire.read_text(part.span)
            elif part.kind == BYTES and part.number == 9:
                key, value = _read_entry(wire, part.span)
                if key.startswith("pkg.torch.onnx.") and value[1] - value[0] <= _MAX_TEXT:
                    found[key] = wire.read_text(value)
    return found


def structure_digest(path: Path) -> str:
    """sha256 of all bytes of the file that are not values of an editable tensor, and so stay as they are under any
    edit. Raises E610, E618 and E661."""
    graph = read_graph(path)
    spans = sorted(tensor.span for tensor in graph.tensors.values() if tensor.span and tensor.dtype in dtypes.EDITABLE)
    digest, position = sha256(), 0
    with path.open("rb") as file:
        for start, end in [*spans, (os.fstat(file.fileno()).st_size, 0)]:
            file.seek(position)
            while position < start:
                chunk = file.read(min(start - position, 1 << 20))
                digest.update(chunk)
                position += len(chunk) or start
            position = end
    return digest.hexdigest()


class _Reader:
    """Fills a `Graph` in one pass over a file. A name means the tensor of the innermost graph that defines it, as ONNX
    says."""

    def __init__(self, wire: WireReader, graph: Graph) -> None:
        self._wire, self._graph = wire, graph

    def read_model(self) -> Graph:
        """Read the ModelProto that the whole file is. Raises WireError unless it has exactly one graph."""
        graphs = []
        for part in self._wire.fields((0, self._wire.size), (7, 14, 25)):
            if part.number == 7:
                graphs.append(self._message_span(part))
            elif part.number == 14:
                key, value = _read_entry(self._wire, self._message_span(part))
                if key in self._graph.metadata:
                    raise WireError(f"the metadata has the key '{key[:100]}' twice")
                self._graph.metadata[key] = value
            elif part.number == 25:
                self._read_scope(self._message_span(part), "function/", 1, nodes=7)
        if len(graphs) != 1:
            raise WireError(f"it holds {len(graphs)} graphs")
        self._read_scope(graphs[0], "", 0)
        return self._graph

    def _read_scope(self, span: Range, prefix: str, depth: int, nodes: int = 1) -> list[tuple[str, _UseFields]]:
        """Read the tensors and nodes of a graph or of a function's body; returns the uses of names that it does not
        define.

        `prefix` stands before the names of its tensors; `nodes` is the number of the field with its nodes: 1 in a
        graph, 7 in a function, which has no initializers.
        """
        if depth > _MAX_DEPTH:
            raise WireError(f"its graphs are nested deeper than {_MAX_DEPTH}")
        local: dict[str, str] = {}
        uses: list[tuple[str, _UseFields]] = []
        for part in self._wire.fields(span, (1, 5, 15) if nodes == 1 else (nodes,)):
            if part.number == nodes:
                uses += self._read_node(self._message_span(part), prefix, depth, local)
            elif part.number == 5 and nodes == 1:
                name, tensor = self._read_tensor(self._message_span(part))
                self._add_tensor(name, tensor, prefix, local)
            elif part.number == 15 and nodes == 1:
                self._message_span(part)  # sparse: no delta is made for a matrix that was pruned like this
        for name, use in uses:
            if name in local:
                self._graph.uses.setdefault(local[name], []).append(TensorUse(*use))
                self._wire.spend(_USE_STEPS)
        self._wire.spend(len(uses))
        return [(name, use) for name, use in uses if name not in local]

    def _add_tensor(self, name: str, tensor: GraphTensor, prefix: str, local: dict[str, str]) -> None:
        """Add a tensor to the graph. `local` maps its name in this scope to its full name, and is extended."""
        if name in local:
            raise WireError(f"two tensors have the name '{name[:100]}'")
        known = prefix + name
        if known in self._graph.tensors:  # in another subgraph whose node has the same name
            known = f"{known}#{len(self._graph.tensors)}"
        if known in self._graph.tensors:
            raise WireError(f"two tensors have the name '{known[:100]}'")
        self._wire.spend(_TENSOR_STEPS)
        local[name] = known
        self._graph.tensors[known] = tensor

    def _read_node(self, span: Range, prefix: str, depth: int, local: dict[str, str]) -> list[tuple[str, _UseFields]]:
        """Read a node; returns the tensors that it takes. Attributes are read only for the few operators that need
        them: Gemm, Constant, and those with a subgraph."""
        inputs: list[str] = []
        attributes: list[Range] = []
        op = ""
        for part in self._wire.fields(span, (1, 4, 5)):
            if part.number == 1:
                inputs.append(self._read_text(part))
            elif part.number == 4:
                op = self._read_text(part)
            else:
                attributes.append(self._message_span(part))
        uses: list[tuple[str, _UseFields]] = []
        flag = False
        for place in attributes:
            if op not in ("Gemm", "Constant") and not any(self._wire.fields(place, (6, 11))):
                continue
            key, value, tensor, graphs = self._read_attribute(place)
            flag |= op == "Gemm" and key == "transB" and value == 1
            if tensor is not None and op == "Constant" and key == "value" and len(self._read_texts(span, 2)) == 1:
                self._add_tensor(self._read_texts(span, 2)[0], self._read_tensor(tensor)[1], prefix, local)
            name = "".join(self._read_texts(span, 3)[-1:]) if graphs else ""
            for graph in graphs:
                uses += self._read_scope(graph, f"{prefix}{name or op}/{key}/", depth + 1)
        return uses + [(one, (op, i, span, flag)) for i, one in enumerate(inputs) if one]

    def _read_texts(self, span: Range, number: int) -> list[str]:
        """The values of one text field of a message, in the order of the file."""
        return [self._read_text(part) for part in self._wire.fields(span, (number,))]

    def _read_attribute(self, span: Range) -> tuple[str, int, Range | None, list[Range]]:
        """Name, integer, tensor and graphs of an AttributeProto; 0, None and [] where it has none."""
        name, value, tensor, graphs = "", 0, None, []
        for part in self._wire.fields(span, (1, 3, 5, 6, 11)):
            if part.number == 1:
                name = self._read_text(part)
            elif part.number == 3 and part.kind == VARINT:
                value = part.value
            elif part.number == 5:
                tensor = self._message_span(part)
            elif part.number in (6, 11):
                graphs.append(self._message_span(part))
        return name, value, tensor, graphs

    def _read_tensor(self, span: Range) -> tuple[str, GraphTensor]:
        """Name of a TensorProto, and where its bytes are."""
        shape: list[int] = []
        once: dict[int, Field] = {}
        external: dict[str, str] = {}
        for part in self._wire.fields(span):
            if part.number == 1:
                room = _MAX_DIMENSIONS - len(shape)
                shape += [part.value] if part.kind == VARINT else self._wire.read_varints(part.span, room)
            elif part.number == 13:
                key, value = _read_entry(self._wire, self._message_span(part))
                if key in external:
                    raise WireError(f"a tensor's external data has the key '{key[:40]}' twice")
                external[key] = self._wire.read_text(value)
            elif part.number in once and part.number in _ONCE:
                raise WireError("a tensor has two names, kinds or contents")
            elif part.number in once:
                once[-1] = part  # a list in pieces
            else:
                once[part.number] = part
            if len(shape) > _MAX_DIMENSIONS:
                raise WireError(f"a tensor has more than {_MAX_DIMENSIONS} dimensions")
        if any(size >> 63 for size in shape):
            raise WireError("a tensor has a negative size")
        name = self._read_text(once[8]) if 8 in once else ""
        return name, _locate_bytes(name, tuple(shape), once, external)

    def _message_span(self, part: Field) -> Range:
        """The byte range of a field that must be a message. Raises WireError for a number."""
        if part.kind != BYTES:
            raise WireError(f"the field at byte {part.start} is a number, where a message must be")
        return part.span

    def _read_text(self, part: Field) -> str:
        """The text in a field."""
        return self._wire.read_text(self._message_span(part), _MAX_TEXT)


def _locate_bytes(
    name: str, shape: tuple[int, ...], once: Mapping[int, Field], external: Mapping[str, str]
) -> GraphTensor:
    """A tensor with the place of its bytes, from its fields by number (-1: one that came twice) and its external data.

    Raises WireError where the bytes are not as many as dtype and shape need.
    """
    dtype = TYPES.get(once[2].value, "?") if 2 in once else "?"
    if 14 in once and once[14].value == 1:
        return GraphTensor(dtype, shape, external=external)
    if dtype == "?" or -1 in once:
        return GraphTensor(dtype, shape, reason="its values are stored in pieces, or in a field for another dtype")
    packed = {"F32": 4, "F64": 10}.get(dtype)
    place = once.get(9) or (once.get(packed) if packed else None)
    if place is None or place.kind != BYTES:
        return GraphTensor(dtype, shape, reason="its numbers are stored one by one and not as bytes")
    if dtypes.nbytes(dtype, shape) != place.end - place.start:
        size = place.end - place.start
        raise WireError(f"tensor '{name[:100]}' is {dtype} {list(shape)} but holds {size} bytes")
    return GraphTensor(dtype, shape, place.span)


def _read_entry(wire: WireReader, span: Range) -> tuple[str, Range]:
    """A StringStringEntryProto: its key, and the byte range of its value."""
    key, value = "", (span[1], span[1])
    for part in wire.fields(span, (1, 2)):
        if part.kind == BYTES and part.number == 1:
            key = wire.read_text(part.span)
        elif part.kind == BYTES and part.number == 2:
            value = part.span
    return key, value
