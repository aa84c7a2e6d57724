"""Prepare an ONNX model for adapters: add a low-rank path, whose matrices are inputs, beside the MatMul of each site.

    y = x W        becomes        y = x W + (x A) B,  A (d_in, r) and B (r, d_out)

A and B are initializers of rank 0 and also inputs. A session without values for them computes the base's output, and
one with an `.onnx_adapter` the edited output. Every other byte of the file is copied as it is, in one pass.

Numbers of protobuf fields are those of onnx.proto: in a model the graph is 7; in a graph nodes are 1, initializers 5,
inputs 11; in a node inputs are 1, outputs 2, attributes 5; in an attribute the name is 1, a float 2, an integer 3; in a
tensor the dimensions are 1, the dtype 2, the name 8, the bytes 9.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from editc.core.delta import Site
from editc.core.diagnostics import Diagnostic, EditcError, fail
from editc.core.storage import disk
from editc.core.text import SHOWN_ROWS
from editc.formats.apply import destination
from editc.formats.apply.target import ApplyPlan, TargetTensor
from editc.formats.containers import onnx_external
from editc.formats.containers.onnx import Graph, TensorUse, file_errors
from editc.formats.containers.onnx_write import TYPES, GraphValue, encode_node, encode_value_info
from editc.formats.containers.protobuf import (
    BYTES,
    FIXED32,
    Range,
    WireReader,
    encode_bytes,
    encode_number,
    encode_prefix,
)
from editc.formats.containers.ranges import read_range


@dataclass(frozen=True)
class LoraReadyModel:
    """A model that is prepared for adapters."""

    files: tuple[Path, ...]
    """The model and its external data."""
    inputs: tuple[str, ...]
    """The names of the new inputs."""


@dataclass
class _NodeFields:
    """The fields of a NodeProto that a branch needs."""

    inputs: list[str] = field(default_factory=list)
    """The names of its inputs."""
    outputs: list[str] = field(default_factory=list)
    """The names of its outputs."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Attribute -> its number."""
    rest: bytes = b""
    """All fields but the outputs, as they stand in the file."""


def input_names(site: str) -> tuple[str, str]:
    """The names of the inputs A and B for the site `site`."""
    module = site.removesuffix(".weight")
    return f"{module}.lora_A.weight", f"{module}.lora_B.weight"


def make_lora_ready(plan: ApplyPlan, out: Path) -> LoraReadyModel:
    """Write the model of `plan` to `out`, with a branch at each of its targets.

    Raises E630 (the place is taken), E666 (the name of external data is taken), E668 (not an ONNX file, or no branch
    fits a target) and E632.
    """
    graph = plan.model.component().graph if plan.model.layout == "file" else None
    if graph is None:
        help_ = "give one .onnx file; `editc export` writes adapters for the others"
        raise fail("E668", "only an ONNX file can be prepared for adapters", place=plan.model.place, help=help_)
    destination.make_place(plan, out)
    external = (
        () if out.parent.resolve() == plan.model.path.parent.resolve() else destination.external_files(plan.model, out)
    )
    temporary = disk.temporary_path(out)
    created = (temporary, *(part.final for part in external))
    with disk.guard_writes(out), destination.remove_on_failure(*created):
        disk.write_new(temporary, _rewrite_file(plan, graph))
        for part in external:
            disk.copy_file(part.source, part.final)
        disk.rename(temporary, out)
    inputs = tuple(name for target in plan.targets for name in input_names(target.record.site.name))
    return LoraReadyModel((out, *(part.final for part in external)), inputs)


def _rewrite_file(plan: ApplyPlan, graph: Graph) -> Iterator[bytes]:
    """Yield the new file in pieces: the old bytes, with new ones in place of the targets' nodes."""
    with file_errors(graph.path), graph.path.open("rb") as source:
        wire = WireReader(source, os.fstat(source.fileno()).st_size)
        pieces = list(_pieces(wire, plan, graph))
    for piece in pieces:
        yield from [piece] if isinstance(piece, bytes) else _copy(graph.path, piece)


def _pieces(wire: WireReader, plan: ApplyPlan, graph: Graph) -> Iterator[Range | bytes]:
    """Yield the parts of the new file in order: new bytes, or ranges of the old file."""
    before = 0
    for part in wire.fields((0, wire.size)):
        if part.number == 7:
            place = part.span
            break
        before = part.end
    branches = _find_branches(wire, plan, graph, place)
    body: list[Range | bytes] = []
    position = place[0]
    for part in wire.fields(place):
        new = branches.get(part.span) if part.number == 1 else None
        body.append((position, part.end) if new is None else new)
        position = part.end
    body.append(b"".join(_encode_inputs(target) for target in plan.targets))
    size = sum(len(one) if isinstance(one, bytes) else one[1] - one[0] for one in body)
    yield (0, before)
    yield encode_prefix(7, size)
    yield from body
    yield (place[1], wire.size)


def _copy(path: Path, span: Range) -> Iterator[bytes]:
    """Yield the bytes of a range of the old file, 1 MiB at a time."""
    for position in range(span[0], span[1], 1 << 20):
        yield read_range(path, position, min(1 << 20, span[1] - position))


def _find_branches(wire: WireReader, plan: ApplyPlan, graph: Graph, place: Range) -> dict[Range, bytes]:
    """Map the range of each node that is replaced to its new bytes. Raises E668 if a target has no node that fits."""
    known = {(p.file, p.offset): name for name, p in onnx_external.locate_tensors(graph).items()}
    main = {part.span for part in wire.fields(place) if part.number == 1}
    made: dict[Range, bytes] = {}
    faults = []
    for target in plan.targets:
        uses = graph.uses.get(known[target.tensor.file, target.tensor.offset], [])
        if not uses:
            faults.append(f"{target.record.site.name}: no node uses it")
        for use in uses:
            parsed = _read_node(wire, use) if use.node in main and use.node not in made else None
            why = _misfit(use, parsed, target)
            if parsed is None or why:
                faults.append(f"{target.record.site.name}: {why}")
            else:
                made[use.node] = _make_branch(parsed, target.record.site)
    if faults:
        what = f"{len(faults)} targets have no place for an adapter, the first is '{faults[0].split(':')[0]}'"
        help_ = "apply the delta to the model itself: `editc apply --to`"
        raise EditcError(Diagnostic("E668", what, place=plan.model.place, help=help_, notes=tuple(faults[:SHOWN_ROWS])))
    return made


def _misfit(use: TensorUse, parsed: _NodeFields | None, target: TargetTensor) -> str:
    """Say why a node cannot get a branch, or ''."""
    if parsed is None:
        return "it is in a subgraph, or two targets share a node"
    if use.op not in ("MatMul", "Gemm") or use.index != 1 or len(parsed.outputs) != 1:
        return f"it is input {use.index} of {use.op}, and not the matrix of a MatMul or Gemm"
    if parsed.numbers.get("alpha", 1.0) != 1.0 or parsed.numbers.get("transA", 0):
        return "its Gemm scales or transposes"
    upright = use.transposed if use.op == "Gemm" else False
    if (target.tensor.flipped == upright) != target.record.site.transposed:
        return "its node uses the transposed matrix"
    return "" if target.tensor.dtype in TYPES else f"it is {target.tensor.dtype}"


def _read_node(wire: WireReader, use: TensorUse) -> _NodeFields:
    """Read a node's inputs, outputs and numbers, and keep its other fields. Each may have at most 16 MiB, chosen by
    hand."""
    found = _NodeFields()
    position = use.node[0]
    for part in wire.fields(use.node):
        if part.number == 2:
            found.outputs.append(wire.read_text(part.span))
        else:
            found.rest += wire.read_bytes((position, part.end), 1 << 24)
        if part.number == 1:
            found.inputs.append(wire.read_text(part.span))
        elif part.number == 5 and part.kind == BYTES:
            found.numbers |= _read_attribute(wire, part.span)
        position = part.end
    return found


def _read_attribute(wire: WireReader, span: Range) -> Mapping[str, float]:
    """Read one attribute: its name -> its number."""
    name, value = "", 0.0
    for part in wire.fields(span):
        if part.number == 1 and part.kind == BYTES:
            name = wire.read_text(part.span)
        elif part.number == 2 and part.kind == FIXED32:
            (value,) = struct.unpack("<f", wire.read_bytes(part.span, 4))
        elif part.number == 3:
            value = float(part.value)
    return {name: value}


def _make_branch(parsed: _NodeFields, site: Site) -> bytes:
    """Encode the node with another output, and the low-rank path that is added to it."""
    (output,) = parsed.outputs
    A, B = input_names(site.name)
    nodes = [
        encode_bytes(2, f"{output}.base") + parsed.rest,
        encode_node("MatMul", [parsed.inputs[0], A], f"{output}.into"),
        encode_node("MatMul", [f"{output}.into", B], f"{output}.change"),
        encode_node("Add", [f"{output}.base", f"{output}.change"], output),
    ]
    return b"".join(encode_bytes(1, one) for one in nodes)


def _encode_inputs(target: TargetTensor) -> bytes:
    """Encode A and B as initializers of rank 0, and as inputs of any rank."""
    site, dtype = target.record.site, target.tensor.dtype
    (d_out, d_in), rank = site.shape, f"{site.name}.rank"
    A, B = input_names(site.name)
    values = GraphValue(A, dtype, (d_in, rank)), GraphValue(B, dtype, (rank, d_out))
    found = b"".join(encode_bytes(11, encode_value_info(value)) for value in values)
    for name, shape in ((A, (d_in, 0)), (B, (0, d_out))):
        sizes = b"".join(encode_number(1, size) for size in shape)
        found += encode_bytes(5, sizes + encode_number(2, TYPES[dtype]) + encode_bytes(8, name) + encode_bytes(9, b""))
    return found
