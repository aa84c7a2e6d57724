"""Find a delta's sites in an ONNX model, whose exporters rename weights and transpose them.

A site is looked for by content: the hash of its base or result, as stored or transposed, in any dtype that the delta
records. A fine-tune has other content, and equal tensors have the same. Then the nodes that use a tensor may say where
it came from, and at last names are compared. If that does not lead to exactly one tensor, an error names the
candidates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from editc.core.delta import SiteRecord
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.site_bytes import matrix_shape, stored_shape
from editc.core.text import first_rows
from editc.formats.containers import onnx_external
from editc.formats.containers.onnx import Graph, TensorUse, provenance
from editc.formats.containers.protobuf import Range
from editc.formats.models.model import Checkpoint, Tensor
from editc.numerics.bits import dtypes

TensorCandidate: TypeAlias = tuple[str, bool]
"""The name of a tensor in the graph, and True if it is the transpose of the site's matrix."""


@dataclass(frozen=True)
class _SiteFault:
    """Why a site is not found in a graph."""

    code: str
    """E663, E664 or E665."""
    name: str
    """The name of the site."""
    why: str
    """The reason, in words for the user."""


def find_in_graph(
    checkpoint: Checkpoint, graph: Graph, records: Sequence[SiteRecord], raw: Callable[[str], bytes]
) -> Checkpoint:
    """Return `checkpoint` with the sites of `records` under the names that the delta uses; see `sites.find_sites`.
    `graph` is the component's graph.

    Raises E663 (the numbers are not stored as bytes), E664 (not exactly one tensor), E665 (a square matrix may be
    transposed).
    """
    search = _GraphSearch(checkpoint, graph, records, raw)
    found = {record.site.name: search.find(record) for record in records}
    placed = {name: _site_tensor(checkpoint, one) for name, one in found.items() if isinstance(one, tuple)}
    faults = [one for one in found.values() if isinstance(one, _SiteFault)]
    faults += _find_shared_bytes(checkpoint, {name: one[0] for name, one in found.items() if isinstance(one, tuple)})
    if faults:
        raise EditcError(*_diagnostics(faults, len(records), str(graph.path)))
    return replace(checkpoint, tensors=placed)


class _GraphSearch:
    """Searches the tensors of a graph that have the shape of a site, by content and by origin."""

    def __init__(
        self, checkpoint: Checkpoint, graph: Graph, records: Sequence[SiteRecord], raw: Callable[[str], bytes]
    ) -> None:
        self._checkpoint, self._graph, self._raw = checkpoint, graph, raw
        self._shapes = {stored_shape(record.site) for record in records}
        shapes = self._shapes | {shape[::-1] for shape in self._shapes}
        self._candidates = [n for n, tensor in graph.tensors.items() if matrix_shape(tensor.shape) in shapes]
        self._contents = self._hash_candidates(records)
        self._origins: dict[str, frozenset[str]] = {}
        self._nodes: dict[Range, Sequence[str]] = {}

    def find(self, record: SiteRecord) -> TensorCandidate | _SiteFault | None:
        """Find the tensor of one site. Returns a fault if there is no single answer, and None if no tensor looks like
        the site."""
        site, shape = record.site, stored_shape(record.site)
        hits = self._by_content(record)
        names = sorted({name for name, _ in hits})
        if len(names) != 1:
            rest = names or [n for n in self._candidates if matrix_shape(self._shape(n)) in (shape, shape[::-1])]
            named = [n for n in rest if _comes_from(site.name, self._tensor_origins(n))]
            named = named or [n for n in rest if n == site.name] or [n for n in rest if n.endswith(f".{site.name}")]
            if len(named) != 1:
                many = named or names
                return _SiteFault("E664", site.name, f"could be {', '.join(many[:6])}") if many else None
            names = named
        (name,) = names
        if reason := self._graph.tensors[name].reason:
            return _SiteFault("E663", site.name, f"'{name}': {reason}")
        ways = [flipped for hit, flipped in hits if hit == name] or self._orientations(name, shape)
        way = ways[0] if len(ways) == 1 else self._orientation(name, site.transposed)
        return _SiteFault("E665", site.name, f"'{name}' is square") if way is None else (name, way)

    def _by_content(self, record: SiteRecord) -> list[TensorCandidate]:
        """Find the tensors whose bytes have one of the site's hashes, sorted by name."""
        digests = {*record.base.values(), *record.result.values()}
        shape = stored_shape(record.site)
        hits = {hit for digest in digests for hit in self._contents.get(digest, ())}
        return sorted(hit for hit in hits if hit[1] in self._orientations(hit[0], shape))

    def _hash_candidates(self, records: Sequence[SiteRecord]) -> Mapping[str, set[TensorCandidate]]:
        """Map the sha256 of every candidate, as stored and transposed, to the tensors that have it.

        If a site is not found so, the candidates are also converted to the other dtypes that the delta records, and
        hashed again.
        """
        found: dict[str, set[TensorCandidate]] = {}
        wanted = [{*record.base.values(), *record.result.values()} for record in records]
        for casts in (False, True):
            known: dict[Tensor, list[tuple[str, bool]]] = {}
            if not casts or not all(digests & found.keys() for digests in wanted):
                for name in self._candidates:
                    tensor = self._checkpoint.tensors.get(name)
                    if tensor is not None and tensor not in known:
                        known[tensor] = list(self._digests(name, casts, records))
                    for digest, flipped in known[tensor] if tensor is not None else ():
                        found.setdefault(digest, set()).add((name, flipped))
        return found

    def _digests(self, name: str, casts: bool, records: Sequence[SiteRecord]) -> Iterator[tuple[str, bool]]:
        """Yield (sha256, transposed) of one tensor: of its own bytes, or with `casts` of its values in each other
        recorded dtype."""
        tensor = self._checkpoint.tensors[name]
        if tensor.dtype not in dtypes.EDITABLE:
            return
        raw = self._raw(name)
        forms = [(raw, tensor.dtype)]
        if casts:
            others = sorted({dtype for record in records for dtype in record.base} - {tensor.dtype})
            values = dtypes.decode(raw, tensor.dtype, tensor.shape)
            forms = [(dtypes.encode(values, dtype), dtype) for dtype in others]
        rows, columns = matrix_shape(tensor.shape)
        for form, dtype in forms:
            if (rows, columns) in self._shapes:
                yield dtypes.sha256(form), False
            if (columns, rows) in self._shapes and len(tensor.shape) == 2:
                yield dtypes.sha256(dtypes.transpose(form, dtype, (rows, columns))), True

    def _orientations(self, name: str, shape: tuple[int, int]) -> list[bool]:
        """List the ways in which a tensor has the shape (rows, columns): False as stored, True transposed."""
        own = self._shape(name)
        flat = [False] if matrix_shape(own) == shape else []
        return flat + ([True] if len(own) == 2 and own == shape[::-1] else [])

    def _shape(self, name: str) -> tuple[int, ...]:
        return self._graph.tensors[name].shape

    def _orientation(self, name: str, transposed: bool) -> bool | None:
        """Say whether a square tensor is the transpose of the stored site, by the nodes that use it. None if they do
        not agree or do not show it."""
        ways = {_takes_transpose(use) for use in self._graph.uses.get(name, ())}
        if len(ways) != 1:
            return None
        (way,) = ways
        return None if way is None else way != transposed

    def _tensor_origins(self, name: str) -> frozenset[str]:
        """The module and parameter names that the nodes using a tensor give as its origin."""
        if name not in self._origins:
            uses = self._graph.uses.get(name, ())
            self._origins[name] = frozenset(o for use in uses for o in self._node_origins(use))
        return self._origins[name]

    def _node_origins(self, use: TensorUse) -> Sequence[str]:
        """The names that one node gives as the origin of its inputs. Each node is read once, however many tensors it
        uses."""
        if use.node not in self._nodes:
            self._nodes[use.node] = tuple(origins(self._graph, use))
        return self._nodes[use.node]


def origins(graph: Graph, use: TensorUse) -> Iterator[str]:
    """Yield what a node says of its origin: the dotted name of the module, and `p:` with the mangled name of the
    parameter."""
    metadata = provenance(graph.path, use.node)
    scopes = re.findall(r"'([^']*)'", metadata.get("pkg.torch.onnx.name_scopes", ""))
    if len(scopes) > 1:
        yield scopes[-2]
    for parameter in re.findall(r"%p_(\w+)", metadata.get("pkg.torch.onnx.fx_node", "")):
        yield f"p:{parameter}"
        if len(scopes) > 1:
            yield f"p:{parameter.removeprefix(scopes[1].replace('.', '_') + '_')}"
    name = metadata.get("name", "")
    if name.startswith("/") and name.count("/") > 1:
        yield name[1:].rpartition("/")[0].replace("/", ".")


def _comes_from(site: str, origin: frozenset[str]) -> bool:
    """True if one of the origins is the site's module or parameter."""
    module = site.removesuffix(".weight")
    parameter = "p:" + site.replace(".", "_")
    return any(one in (module, parameter) or one.endswith(f".{module}") for one in origin)


def _takes_transpose(use: TensorUse) -> bool | None:
    """True if a node takes the matrix as (d_in, d_out), False if as (d_out, d_in), None if the node does not show
    it."""
    if use.index != 1 or use.op not in ("MatMul", "Gemm"):
        return False if use.op == "Transpose" else None
    return use.op == "MatMul" or not use.transposed


def _site_tensor(checkpoint: Checkpoint, found: TensorCandidate) -> Tensor:
    """The tensor under a site's name: flipped if the graph holds the transpose."""
    name, flipped = found
    tensor = checkpoint.tensors[name]
    return replace(tensor, shape=tensor.shape[::-1], flipped=True) if flipped else tensor


def _find_shared_bytes(checkpoint: Checkpoint, found: Mapping[str, str]) -> Iterator[_SiteFault]:
    """Yield a fault for sites that share bytes: two sites found as one tensor, or tensors that overlap in a file."""
    sites: dict[str, list[str]] = {}
    for site, name in found.items():
        sites.setdefault(name, []).append(site)
    for name, group in sites.items():
        if len(group) > 1:
            yield _SiteFault("E664", group[0], f"and {', '.join(group[1:6])} are one tensor of the graph, '{name}'")
    places = {n: onnx_external.BytePlace(t.file, t.offset, t.nbytes) for n, t in checkpoint.tensors.items()}
    for name, other in onnx_external.find_overlaps(places, list(sites)):
        yield _SiteFault("E664", sites[name][0], f"'{name}' has bytes in common with '{other}'")


def _diagnostics(faults: Sequence[_SiteFault], total: int, place: str) -> Iterator[Diagnostic]:
    """Make one diagnostic for each code among the faults. `total` is the number of sites, `place` the file."""
    says = {
        "E663": ("targets are in the model, but not as bytes that can be edited", "save the model with raw data"),
        "E664": (
            "targets do not match exactly one tensor of the model",
            "apply the delta before the export, then export",
        ),
        "E665": ("targets are square, and no node says whether they are transposed", "export the model again"),
    }
    for code, (what, help_) in says.items():
        rows = [f"{fault.name}: {fault.why}" for fault in faults if fault.code == code]
        if rows:
            message = f"{len(rows)} of {total} {what}, the first is '{rows[0].split(':')[0]}'"
            yield Diagnostic(code, message, place=place, help=help_, notes=first_rows(rows))
