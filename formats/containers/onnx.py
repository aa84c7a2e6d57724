"""The tensors of an ONNX file and where each one's bytes are, without the onnx library and without reading any.

A tensor is an initializer of the graph or the value of a Constant node; those of subgraphs (If, Loop) and of functions
count too. What is not well formed is refused (E661), never repaired. Source: onnx.proto, IR version 10.
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
"""TensorProto.DataType as safetensors says it; what is missing here (texts, 4-bit integers) cannot be edited anyway."""
_MAX_DEPTH, _MAX_DIMENSIONS, _MAX_TEXT = 16, 32, 1 << 16
_MAX_DESCRIPTION = 256 << 20
"""Limits for hostile files: of subgraphs within subgraphs, of sizes, of the bytes of a name, and of those of the
description that editc writes."""
_UseFields: TypeAlias = tuple[str, int, Range, bool]
_USE_STEPS, _TENSOR_STEPS = 3, 9
"""Steps (`Wire.spend`) for a use and for a tensor that is kept."""
_ONCE = (2, 8, 9, 14)
"""Fields of a tensor that must not come twice: its kind, name, bytes, and where they are."""


@dataclass(frozen=True)
class GraphTensor:
    """A tensor of a graph."""

    dtype: str
    """Its dtype as safetensors says it."""
    shape: tuple[int, ...]
    """Its sizes."""
    span: Range | None = None
    """The range of its bytes in the .onnx file itself. None: they are elsewhere, or are no bytes."""
    external: Mapping[str, str] | None = None
    """What the file says of its bytes when they are in another file: location, offset, length. None: they are not."""
    reason: str = ""
    """Why it cannot be edited where it is. Empty where one of the two above is there."""


@dataclass(frozen=True)
class TensorUse:
    """A node that takes a tensor."""

    op: str
    """The node's operator."""
    index: int
    """The number of the input that the tensor is."""
    node: Range
    """The range of the node in the file."""
    transposed: bool = False
    """Whether the node (a Gemm) transposes it."""


@dataclass
class Graph:
    """What an ONNX file holds, without any tensor's bytes."""

    path: Path
    """The file."""
    tensors: dict[str, GraphTensor] = field(default_factory=dict)
    """Name -> tensor: initializers, and values of Constant nodes."""
    uses: dict[str, list[TensorUse]] = field(default_factory=dict)
    """Name of a tensor -> the nodes that take it."""
    metadata: dict[str, Range] = field(default_factory=dict)
    """Key of the model's own metadata -> the range of its value in the file."""

    @property
    def external_locations(self) -> tuple[str, ...]:
        """The locations of external data, as the file names them."""
        return tuple(
            sorted({tensor.external.get("location", "") for tensor in self.tensors.values() if tensor.external})
        )


def read_graph(path: Path) -> Graph:
    """The graph in the file at `path`. Raises E610 (cannot be opened), E618 (Git LFS pointer) and E661 (malformed)."""
    with file_errors(path), open_file(path) as (file, size), pause_collection():
        wire = WireReader(file, size)
        return _Reader(wire, Graph(path)).read_model()


def read_factors(path: Path) -> Header:
    """The float32 tensors in the file itself, which is where editc writes a delta's factors, and the description of the
    delta where there is one. Raises E610, E618 and E661."""
    graph = read_graph(path)
    text = metadata_value(graph, DELTA_KEY)
    factors = {
        name: tensor for name, tensor in graph.tensors.items() if tensor.span is not None and tensor.dtype == "F32"
    }
    entries = {name: TensorEntry("F32", tensor.shape, *tensor.span) for name, tensor in factors.items() if tensor.span}
    return Header(entries, {DELTA_KEY: text} if text else {}, 0)


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Raises E610 and E661 for what reading the file inside may raise."""
    try:
        yield
    except OSError as error:
        raise fail("E610", f"the file cannot be read: {error.strerror}", place=str(path)) from error
    except WireError as error:
        message = f"this is not a well-formed ONNX file: {error}"
        help_ = "fetch or export the file again, and compare its size and sha256 with the publisher's"
        raise fail("E661", message, place=str(path), help=help_) from error


def metadata_value(graph: Graph, key: str) -> str:
    """The value of a key of the model's metadata, '' where it has none. Raises E661."""
    span = graph.metadata.get(key)
    if span is None:
        return ""
    with file_errors(graph.path), graph.path.open("rb") as file:
        return WireReader(file, span[1]).read_text(span, _MAX_DESCRIPTION)


def provenance(path: Path, node: Range) -> Mapping[str, str]:
    """What a node says of where it came from: its `name`, and its own metadata. The range is that of a `Use`.

    Raises E661."""
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
    """sha256 of all bytes of the file that are no tensor's: what an edit leaves as it is. Raises E610, E661."""
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
    """One pass over a file. A name means the tensor of the innermost graph that has it, as ONNX wants it."""

    def __init__(self, wire: WireReader, graph: Graph) -> None:
        self._wire, self._graph = wire, graph

    def read_model(self) -> Graph:
        graphs = []
        for part in self._wire.fields((0, self._wire.size), (7, 14, 25)):
            if part.number == 7:
                graphs.append(self._message_span(part))
            elif part.number == 14:
                key, value = _read_entry(self._wire, self._message_span(part))
                if key in self._graph.metadata:
                    raise WireError(f"the metadata '{key[:100]}' stands twice")
                self._graph.metadata[key] = value
            elif part.number == 25:
                self._read_scope(self._message_span(part), "function/", 1, nodes=7)
        if len(graphs) != 1:
            raise WireError(f"it holds {len(graphs)} graphs")
        self._read_scope(graphs[0], "", 0)
        return self._graph

    def _read_scope(self, span: Range, prefix: str, depth: int, nodes: int = 1) -> list[tuple[str, _UseFields]]:
        """The tensors and nodes of a graph or of a function's body; the uses of names that it does not define."""
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
                self._message_span(part)  # sparse: a matrix that was pruned so is none that a delta was made for
        for name, use in uses:
            if name in local:
                self._graph.uses.setdefault(local[name], []).append(TensorUse(*use))
                self._wire.spend(_USE_STEPS)
        self._wire.spend(len(uses))
        return [(name, use) for name, use in uses if name not in local]

    def _add_tensor(self, name: str, tensor: GraphTensor, prefix: str, local: dict[str, str]) -> None:
        if name in local:
            raise WireError(f"the tensor '{name[:100]}' is there twice")
        known = prefix + name
        if known in self._graph.tensors:  # in another subgraph whose node has the same name
            known = f"{known}#{len(self._graph.tensors)}"
        if known in self._graph.tensors:
            raise WireError(f"the tensor '{known[:100]}' is there twice")
        self._wire.spend(_TENSOR_STEPS)
        local[name] = known
        self._graph.tensors[known] = tensor

    def _read_node(self, span: Range, prefix: str, depth: int, local: dict[str, str]) -> list[tuple[str, _UseFields]]:
        """The uses that a node makes of tensors. What few nodes have anything to say in is read for those alone."""
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
        return [self._read_text(part) for part in self._wire.fields(span, (number,))]

    def _read_attribute(self, span: Range) -> tuple[str, int, Range | None, list[Range]]:
        """Name, integer, tensor and graphs of an attribute."""
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
        """Name and place of a TensorProto."""
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
                    raise WireError(f"the external data's '{key[:40]}' stands twice")
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
        if part.kind != BYTES:
            raise WireError(f"the field at byte {part.start} is a number, where a message must be")
        return part.span

    def _read_text(self, part: Field) -> str:
        return self._wire.read_text(self._message_span(part), _MAX_TEXT)


def _locate_bytes(
    name: str, shape: tuple[int, ...], once: Mapping[int, Field], external: Mapping[str, str]
) -> GraphTensor:
    """Where a tensor's bytes are; a length that does not go with its shape is malformed."""
    dtype = TYPES.get(once[2].value, "?") if 2 in once else "?"
    if 14 in once and once[14].value == 1:
        return GraphTensor(dtype, shape, external=external)
    if dtype == "?" or -1 in once:
        return GraphTensor(dtype, shape, reason="it is stored in pieces, or as numbers of another kind")
    packed = {"F32": 4, "F64": 10}.get(dtype)
    place = once.get(9) or (once.get(packed) if packed else None)
    if place is None or place.kind != BYTES:
        return GraphTensor(dtype, shape, reason="its numbers are stored one by one and not as bytes")
    if dtypes.nbytes(dtype, shape) != place.end - place.start:
        size = place.end - place.start
        raise WireError(f"tensor '{name[:100]}' is {dtype} {list(shape)} but holds {size} bytes")
    return GraphTensor(dtype, shape, place.span)


def _read_entry(wire: WireReader, span: Range) -> tuple[str, Range]:
    """A StringStringEntryProto: its key, and where its value is."""
    key, value = "", (span[1], span[1])
    for part in wire.fields(span, (1, 2)):
        if part.kind == BYTES and part.number == 1:
            key = wire.read_text(part.span)
        elif part.kind == BYTES and part.number == 2:
            value = part.span
    return key, value
