"""A delta as an ONNX graph that applies it: base tensors go in, edited tensors come out, in any language with an ONNX
runtime.

Each input has the name, shape and dtype of the tensor as torch stores it; its output is `<name>.edited`. The graph
computes W + (W U) V for a shared edit, W + L R for a low-rank one and W + D for a dense one, with MatMul, Add and Cast
(Einsum for the first product of a transposed site). It computes in float64 and rounds once at the end, as editc does. A
runtime may sum in another order than editc; after the rounding that almost never shows.
"""

from __future__ import annotations

from collections.abc import Iterator

from editc.core.delta import Delta, Site
from editc.core.site_bytes import stored_shape
from editc.core.storage.disk import guard_writes, replace_file
from editc.formats.containers import onnx_write
from editc.formats.containers.canonical import DELTA_KEY
from editc.formats.containers.onnx_write import TYPES, GraphValue, encode_node
from editc.formats.delta.container import tensor_name
from editc.formats.exports import embed
from editc.formats.exports.format import Format, Job, Written
from editc.formats.exports.onnx import half
from editc.formats.exports.onnx.trials import try_graph
from editc.formats.exports.onnx.values import EDITED, constants_of, input_name, parts
from editc.formats.exports.suits import SUITS

NAME = "onnx-graph"


def write(job: Job) -> Written:
    """Write one .onnx file, which holds the delta unchanged. Raises E632."""
    with guard_writes(job.out):
        replace_file(job.out, graph_bytes(job.delta))
    notes = ("the factors are float32 here, as in the delta itself",) if job.dtype != "F32" else ()
    return Written((job.out,), job.delta, 0.0, notes)


def graph_bytes(delta: Delta) -> bytes:
    """The bytes of the ONNX file that applies the delta."""
    sites = [record.site for record in delta.sites]
    inputs = [GraphValue(input_name(delta, site), site.dtype, stored_shape(site)) for site in sites]
    outputs = [GraphValue(one.name + EDITED, one.dtype, one.shape) for one in inputs]
    tensors = constants_of(delta)
    for dtype in sorted({site.dtype for site in sites}):
        tensors |= half.constants(dtype)
    return onnx_write.encode_model(
        _nodes(delta), tensors, inputs, outputs, {DELTA_KEY: embed.make_note(NAME, delta, {})}
    )


def _nodes(delta: Delta) -> Iterator[bytes]:
    """Yield the nodes of the graph: casts of the factors to float64, then those of each site. `half` has the nodes of
    the final rounding to half precision."""
    yield from (encode_node("Cast", [one], f"{one}.double", to=TYPES["F64"]) for one in sorted(constants_of(delta)))
    for group, factors in delta.factors.items():
        for k, index in enumerate(factors.sites):
            site = delta.sites[index].site
            left = f"{tensor_name(group, 'left', 0 if factors.form == 'shared' else k)}.double"
            right = f"{tensor_name(group, 'right', k if len(factors.right) > 1 else 0)}.double"
            yield from _site_nodes(site, input_name(delta, site), factors.form, left, right)


def _site_nodes(site: Site, name: str, form: str, left: str, right: str) -> Iterator[bytes]:
    """Yield the nodes of one site. For a transposed site the product uses W^T, and the change is transposed back."""
    W, change = f"{name}.double", left
    yield encode_node("Cast", [name], W, to=TYPES["F64"])
    if form == "shared":
        # not Transpose and MatMul: ONNX Runtime 1.24 and older fuse those into a kernel that they lack in float64
        turned = encode_node("Einsum", [W, left], f"{name}.left", equation="ij,ik->jk")
        yield turned if site.transposed else encode_node("MatMul", [W, left], f"{name}.left")
        left = f"{name}.left"
    if form != "dense":
        yield encode_node("MatMul", [left, right], f"{name}.change")
        change = f"{name}.change"
    if site.transposed:
        yield encode_node("Transpose", [change], f"{name}.turned_back", perm=[1, 0])
        change = f"{name}.turned_back"
    yield encode_node("Add", [W, change], f"{name}.sum")
    yield from half.cast(f"{name}.sum", name + EDITED, site.dtype)


FORMAT = Format(
    name=NAME,
    output="delta.onnx",
    says="an ONNX graph that computes the edited weights from the base's: any ONNX runtime",
    suits=SUITS[NAME],
    write=write,
    trials=lambda job, written: (try_graph(written),),
    parts=parts,
    whole=graph_bytes,
)
