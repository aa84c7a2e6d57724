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
from editc.formats.containers.canonical import KEY, without_collection
from editc.formats.containers.protobuf import BYTES, VARINT, Field, Range, Wire, WireError
from editc.formats.containers.safetensors import Header, TensorEntry, open_file
from editc.numerics.bits import dtypes

TYPES: Mapping[int, str] = {
    **{1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64"},
    **{12: "U32", 13: "U64", 14: "C64", 16: "BF16", 17: "F8_E4M3", 18: "F8_E4M3FNUZ", 19: "F8_E5M2"},
    **{20: "F8_E5M2FNUZ", 24: "F8_E8M0"},
}
"""TensorProto.DataType as safetensors says it; what is missing here (texts, 4-bit integers) cannot be edited anyway."""
_MAX_DEPTH, _MAX_DIMENSIONS, _MAX_TEXT = 16, 32, 1 << 16
_MAX_NOTE = 256 << 20
"""Limits for hostile files: of subgraphs within subgraphs, of sizes, of the bytes of a name, and of those of the
description that editc writes."""
_Use: TypeAlias = tuple[str, int, Range, bool]
_KEPT, _HELD = 3, 9
"""Steps (`Wire.spend`) for a use and for a tensor that is kept."""
_SINGLE = (2, 8, 9, 14)
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
class Use:
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
    uses: dict[str, list[Use]] = field(default_factory=dict)
    """Name of a tensor -> the nodes that take it."""
    metadata: dict[str, Range] = field(default_factory=dict)
    """Key of the model's own metadata -> the range of its value in the file."""

    @property
    def beside(self) -> tuple[str, ...]:
        """The locations of external data, as the file names them."""
        return tuple(sorted({held.external.get("location", "") for held in self.tensors.values() if held.external}))


def read_graph(path: Path) -> Graph:
    """The graph in the file at `path`. Raises E610 (cannot be opened), E618 (Git LFS pointer) and E661 (malformed)."""
    with read_strictly(path), open_file(path) as (file, size), without_collection():
        wire = Wire(file, size)
        return _Reader(wire, Graph(path)).model()


def read_factors(path: Path) -> Header:
    """The float32 tensors in the file itself, which is where editc writes a delta's factors, and the description of the
    delta where there is one. Raises E610, E618 and E661."""
    graph = read_graph(path)
    text = note(graph, KEY)
    factors = {name: held for name, held in graph.tensors.items() if held.span is not None and held.dtype == "F32"}
    entries = {name: TensorEntry("F32", held.shape, *held.span) for name, held in factors.items() if held.span}
    return Header(entries, {KEY: text} if text else {}, 0)


@contextmanager
def read_strictly(path: Path) -> Iterator[None]:
    """Raises E610 and E661 for what reading the file inside may raise."""
    try:
        yield
    except OSError as error:
        raise fail("E610", f"the file cannot be read: {error.strerror}", place=str(path)) from error
    except WireError as error:
        message = f"this is not a well-formed ONNX file: {error}"
        help_ = "fetch or export the file again, and compare its size and sha256 with the publisher's"
        raise fail("E661", message, place=str(path), help=help_) from error


def note(graph: Graph, key: str) -> str:
    """The value of a key of the model's metadata, '' where it has none. Raises E661."""
    span = graph.metadata.get(key)
    if span is None:
        return ""
    with read_strictly(graph.path), graph.path.open("rb") as file:
        return Wire(file, span[1]).text(span, _MAX_NOTE)


def provenance(path: Path, node: Range) -> Mapping[str, str]:
    """What a node says of where it came from: its `name`, and its own metadata. The range is that of a `Use`.

    Raises E661."""
    with read_strictly(path), path.open("rb") as file:
        wire = Wire(file, node[1])
        found: dict[str, str] = {}
        for part in wire.fields(node, (3, 9)):
            if part.kind == BYTES and part.number == 3:
                found["name"] = wire.text(part.span)
            elif part.kind == BYTES and part.number == 9:
                key, value = _pair(wire, part.span)
                if key.startswith("pkg.torch.onnx.") and value[1] - value[0] <= _MAX_TEXT:
                    found[key] = wire.text(value)
    return found


def structure_digest(path: Path) -> str:
    """sha256 of all bytes of the file that are no tensor's: what an edit leaves as it is. Raises E610, E661."""
    graph = read_graph(path)
    spans = sorted(held.span for held in graph.tensors.values() if held.span and held.dtype in dtypes.EDITABLE)
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

    def __init__(self, wire: Wire, graph: Graph) -> None:
        self._wire, self._graph = wire, graph

    def model(self) -> Graph:
        graphs = []
        for part in self._wire.fields((0, self._wire.size), (7, 14, 25)):
            if part.number == 7:
                graphs.append(self._message(part))
            elif part.number == 14:
                key, value = _pair(self._wire, self._message(part))
                if key in self._graph.metadata:
                    raise WireError(f"the metadata '{key[:100]}' stands twice")
                self._graph.metadata[key] = value
            elif part.number == 25:
                self._scope(self._message(part), "function/", 1, nodes=7)
        if len(graphs) != 1:
            raise WireError(f"it holds {len(graphs)} graphs")
        self._scope(graphs[0], "", 0)
        return self._graph

    def _scope(self, span: Range, prefix: str, depth: int, nodes: int = 1) -> list[tuple[str, _Use]]:
        """The tensors and nodes of a graph or of a function's body; the uses of names that it does not define."""
        if depth > _MAX_DEPTH:
            raise WireError(f"its graphs are nested deeper than {_MAX_DEPTH}")
        local: dict[str, str] = {}
        uses: list[tuple[str, _Use]] = []
        for part in self._wire.fields(span, (1, 5, 15) if nodes == 1 else (nodes,)):
            if part.number == nodes:
                uses += self._node(self._message(part), prefix, depth, local)
            elif part.number == 5 and nodes == 1:
                name, held = self._tensor(self._message(part))
                self._keep(name, held, prefix, local)
            elif part.number == 15 and nodes == 1:
                self._message(part)  # sparse: a matrix that was pruned so is none that a delta was made for
        for name, use in uses:
            if name in local:
                self._graph.uses.setdefault(local[name], []).append(Use(*use))
                self._wire.spend(_KEPT)
        self._wire.spend(len(uses))
        return [(name, use) for name, use in uses if name not in local]

    def _keep(self, name: str, held: GraphTensor, prefix: str, local: dict[str, str]) -> None:
        if name in local:
            raise WireError(f"the tensor '{name[:100]}' is there twice")
        known = prefix + name
        if known in self._graph.tensors:  # in another subgraph whose node has the same name
            known = f"{known}#{len(self._graph.tensors)}"
        if known in self._graph.tensors:
            raise WireError(f"the tensor '{known[:100]}' is there twice")
        self._wire.spend(_HELD)
        local[name] = known
        self._graph.tensors[known] = held

    def _node(self, span: Range, prefix: str, depth: int, local: dict[str, str]) -> list[tuple[str, _Use]]:
        """The uses that a node makes of tensors. What few nodes have anything to say in is read for those alone."""
        inputs: list[str] = []
        attributes: list[Range] = []
        op = ""
        for part in self._wire.fields(span, (1, 4, 5)):
            if part.number == 1:
                inputs.append(self._text(part))
            elif part.number == 4:
                op = self._text(part)
            else:
                attributes.append(self._message(part))
        uses: list[tuple[str, _Use]] = []
        flag = False
        for place in attributes:
            if op not in ("Gemm", "Constant") and not any(self._wire.fields(place, (6, 11))):
                continue
            key, value, tensor, graphs = self._attribute(place)
            flag |= op == "Gemm" and key == "transB" and value == 1
            if tensor is not None and op == "Constant" and key == "value" and len(self._texts(span, 2)) == 1:
                self._keep(self._texts(span, 2)[0], self._tensor(tensor)[1], prefix, local)
            name = "".join(self._texts(span, 3)[-1:]) if graphs else ""
            for graph in graphs:
                uses += self._scope(graph, f"{prefix}{name or op}/{key}/", depth + 1)
        return uses + [(one, (op, i, span, flag)) for i, one in enumerate(inputs) if one]

    def _texts(self, span: Range, number: int) -> list[str]:
        return [self._text(part) for part in self._wire.fields(span, (number,))]

    def _attribute(self, span: Range) -> tuple[str, int, Range | None, list[Range]]:
        """Name, integer, tensor and graphs of an attribute."""
        name, value, tensor, graphs = "", 0, None, []
        for part in self._wire.fields(span, (1, 3, 5, 6, 11)):
            if part.number == 1:
                name = self._text(part)
            elif part.number == 3 and part.kind == VARINT:
                value = part.value
            elif part.number == 5:
                tensor = self._message(part)
            elif part.number in (6, 11):
                graphs.append(self._message(part))
        return name, value, tensor, graphs

    def _tensor(self, span: Range) -> tuple[str, GraphTensor]:
        """Name and place of a TensorProto."""
        shape: list[int] = []
        once: dict[int, Field] = {}
        external: dict[str, str] = {}
        for part in self._wire.fields(span):
            if part.number == 1:
                room = _MAX_DIMENSIONS - len(shape)
                shape += [part.value] if part.kind == VARINT else self._wire.varints(part.span, room)
            elif part.number == 13:
                key, value = _pair(self._wire, self._message(part))
                if key in external:
                    raise WireError(f"the external data's '{key[:40]}' stands twice")
                external[key] = self._wire.text(value)
            elif part.number in once and part.number in _SINGLE:
                raise WireError("a tensor has two names, kinds or contents")
            elif part.number in once:
                once[-1] = part  # a list in pieces
            else:
                once[part.number] = part
            if len(shape) > _MAX_DIMENSIONS:
                raise WireError(f"a tensor has more than {_MAX_DIMENSIONS} dimensions")
        if any(size >> 63 for size in shape):
            raise WireError("a tensor has a negative size")
        name = self._text(once[8]) if 8 in once else ""
        return name, _read_held(name, tuple(shape), once, external)

    def _message(self, part: Field) -> Range:
        if part.kind != BYTES:
            raise WireError(f"the field at byte {part.start} is a number, where a message must be")
        return part.span

    def _text(self, part: Field) -> str:
        return self._wire.text(self._message(part), _MAX_TEXT)


def _read_held(
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
        held = place.end - place.start
        raise WireError(f"tensor '{name[:100]}' is {dtype} {list(shape)} but holds {held} bytes")
    return GraphTensor(dtype, shape, place.span)


def _pair(wire: Wire, span: Range) -> tuple[str, Range]:
    """A StringStringEntryProto: its key, and where its value is."""
    key, value = "", (span[1], span[1])
    for part in wire.fields(span, (1, 2)):
        if part.kind == BYTES and part.number == 1:
            key = wire.text(part.span)
        elif part.kind == BYTES and part.number == 2:
            value = part.span
    return key, value
