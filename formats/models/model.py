"""A model on disk, read lazily: headers when a component is opened, then one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from editc.core.delta import Array
from editc.core.diagnostics import EditcError, fail
from editc.formats.containers.safetensors import Header, read_header
from editc.formats.containers.table import GGUF, MODEL_FILES, MODEL_FILES_TEXT, ONNX, container_of
from editc.formats.models import layout, paths
from editc.numerics.bits import dtypes

if TYPE_CHECKING:
    from editc.formats.containers.onnx import Graph
    from editc.formats.models.ldm_file import LdmPiece


@dataclass(frozen=True)
class Tensor:
    """Where a tensor is in its file, row-major and little-endian."""

    file: Path
    """The file that holds its bytes."""
    offset: int
    """Position of its first byte in the file."""
    nbytes: int
    """How many bytes it has."""
    dtype: str
    """Its dtype as safetensors names it, or the name of a quantised format."""
    shape: tuple[int, ...]
    """Its shape, row-major."""
    flipped: bool = False
    """True where the file holds the transpose of the matrix that has this shape."""
    scale: Tensor | None = None
    """For 8-bit floats, where the scale is that multiplies them. None where there is no scale."""
    fault: str = ""
    """Why the tensor must not be edited under its name. Empty where it may be."""

    def read_stored(self) -> bytes:
        """The bytes of the tensor as the file stores them. Raises E610, E618 and, for a file that has become shorter,
        E612."""
        from editc.formats.containers.ranges import read_range  # whoever reads headers alone needs no threads

        return read_range(self.file, self.offset, self.nbytes)

    def from_file(self, raw: bytes) -> bytes:
        """The bytes of the tensor in its shape, from the bytes in the file: transposed where it is `flipped`."""
        return dtypes.transpose(raw, self.dtype, (self.shape[1], self.shape[0])) if self.flipped else raw

    def to_file(self, raw: bytes) -> bytes:
        """The bytes as the file stores them, from the bytes of the tensor in its shape."""
        return dtypes.transpose(raw, self.dtype, (self.shape[0], self.shape[1])) if self.flipped else raw


@dataclass
class Checkpoint:
    """The tensors of one component; fulfils the port `Weights`.

    Raises E619 for a name that is not here, E616 for a dtype that has no exact float64, E612 for a file that has become
    shorter.
    """

    name: str
    """The name of the component."""
    tensors: Mapping[str, Tensor]
    """Name -> where the tensor is."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The metadata of the file; empty where several files hold the component."""
    notes: tuple[str, ...] = ()
    """A sentence for each thing in the model's folder that is not read."""
    bytes_read: int = 0
    """Tensor bytes read so far, without headers."""
    graph: Graph | None = None
    """The graph of an ONNX model, whose tensors keep their own names until `sites.find_sites` finds them. None for all
    other models."""

    def names(self) -> Sequence[str]:
        """The names of all tensors, sorted."""
        return sorted(self.tensors)

    def where(self, name: str) -> Tensor:
        """The file, byte range, dtype and shape of a tensor. Raises E619."""
        if name not in self.tensors:
            from editc.formats.models.prefixes import match_names

            other = match_names([name], self.tensors).get(name) or next(
                iter(get_close_matches(name, self.tensors, 1)), ""
            )
            help_text = f"the nearest name there is '{other}'" if other else ""
            message = f"there is no tensor '{name}' in component '{self.name}'"
            raise fail("E619", message, place=name, help=help_text)
        return self.tensors[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape, as stored."""
        return self.where(name).shape

    def dtype(self, name: str) -> str:
        """The dtype in which the tensor is stored, as safetensors names it."""
        return self.where(name).dtype

    def raw(self, name: str) -> bytes:
        """The bytes of the tensor as the file stores them."""
        tensor = self.where(name)
        self.bytes_read += tensor.nbytes
        return tensor.read_stored()

    def read(self, name: str) -> Array:
        """The tensor in float64, exact, in its own shape. Raises E616 for a dtype that editc does not edit."""
        tensor = self.where(name)
        return dtypes.decode(self.stored(name), tensor.dtype, tensor.shape)

    def stored(self, name: str) -> bytes:
        """The bytes of the tensor in its own shape, as they are stored. Raises E616 as `read` does."""
        tensor = self.where(name)
        if tensor.dtype not in dtypes.EDITABLE:
            known = ", ".join(dtypes.EDITABLE)
            raise fail(
                "E616",
                f"tensor '{name}' is stored as {tensor.dtype}; editc reads and edits {known}",
                place=str(tensor.file),
                help="edit the weights before they are quantised, then quantise the result",
            )
        return tensor.from_file(self.raw(name))


@dataclass(frozen=True)
class Model:
    """A model on disk.

    A pipeline has named components. A bare folder or file is one component, whatever name it is asked for. An exception
    is an LDM single file: it has the components that `ldm_file` finds in it, under the tensor names of diffusers.
    """

    place: str
    """What the user typed."""
    path: Path
    """The folder or file, as `paths.find_model` found it."""
    layout: Literal["pipeline", "folder", "file"]
    """What `path` is: a pipeline's folder, a component's folder, or one file."""
    components: Mapping[str, Path]
    """Component -> its folder. A single file or folder is its own only component."""

    def component(self, name: str = "") -> Checkpoint:
        """Open one component: read and check its headers. Raises E615 when the model has no such component."""
        if self.layout != "pipeline":
            ((only, place),) = self.components.items()
            whole = open_component(only, place)
            parts = _find_ldm_components(whole, place)
            if name in parts:
                return _select_component(whole, name, parts[name])
            if not parts or name in ("", only):
                return whole
            raise self._no_component_error(name, parts)
        if name not in self.components:
            raise self._no_component_error(name, self.components)
        part = open_component(name, self.components[name])
        part.notes += layout.pipeline_notes(self.path)
        return part

    def ldm_components(self) -> Mapping[str, Mapping[str, LdmPiece]]:
        """Component -> tensor -> where it is, for an LDM single file; {} for every other model. Reads the file's
        header."""
        if self.layout == "pipeline":
            return {}
        ((only, place),) = self.components.items()
        return _find_ldm_components(open_component(only, place), place)

    def _no_component_error(self, name: str, parts: Iterable[str]) -> EditcError:
        """E615: the model has no such component."""
        help_text = f"its components are: {', '.join(sorted(parts))}"
        return fail("E615", f"the model has no component '{name}'", place=self.place, help=help_text)


def open_model(place: str | Path) -> Model:
    """Open the model that `place` names; only lists of folders are read.

    `place` is a folder of diffusers or transformers, a component's folder, a .safetensors, .onnx or .gguf file, a hub
    id with an optional @revision (local cache only), or `editc:demo`. Raises E610, E611 and E614.
    """
    path = paths.find_model(str(place))
    if path.is_file():
        if path.suffix in layout.PICKLES:
            raise layout.pickle_error(path.name, path)
        if path.suffix not in MODEL_FILES:
            known = f"a diffusers or transformers folder, or a {MODEL_FILES_TEXT} file"
            message = f"'{path.name}' is not a weight file that editc can edit"
            raise fail("E611", message, place=str(place), help=f"give {known}")
        return Model(str(place), path, "file", {path.stem: path})
    parts = {child.name: child for child in layout.subfolders(path) if layout.has_weights(child)}
    pipeline = (path / "model_index.json").is_file() or not layout.has_weights(path)
    if not pipeline:
        return Model(str(place), path, "folder", {path.name: path})
    if not any(layout.has_readable_weights(part) for part in parts.values()):
        layout.choose_files(next(iter(parts.values()), path))  # says why: pickles only, or nothing at all
        raise layout.empty_error(path)
    return Model(str(place), path, "pipeline", parts)


def open_component(name: str, place: Path) -> Checkpoint:
    """Open the tensors in a component's folder or in one file."""
    file = place if place.is_file() else layout.find_onnx(place)
    if file is None:
        return _open_headers(name, layout.choose_files(place))
    opener = _OPENERS.get(file.suffix)
    return opener(name, file) if opener else _open_headers(name, layout.WeightFiles((file,)))


def _open_headers(name: str, choice: layout.WeightFiles) -> Checkpoint:
    """Open the tensors of one safetensors file, or of all shards of an index. Raises E612 and E613."""
    headers = {file: read_header(file) for file in choice.files}
    found: dict[str, Tensor] = {}
    for file, header in headers.items():
        for tensor, entry in header.entries.items():
            if tensor in found:
                raise _shards_error(f"tensor '{tensor}' is in {found[tensor].file.name} and in {file.name}", choice)
            found[tensor] = Tensor(file, entry.start, entry.end - entry.start, entry.dtype, entry.shape)
    for tensor, file in (choice.shard_of or {}).items():
        if tensor not in headers[file].entries:
            raise _shards_error(f"the index lists tensor '{tensor}' in {file.name}, which does not hold it", choice)
    return Checkpoint(name, _with_scales(found), _only_metadata(headers), choice.notes)


def _open_gguf(name: str, place: Path) -> Checkpoint:
    """Open the tensors of a GGUF file, under llama.cpp's names and those of transformers. Raises E692."""
    from editc.formats.containers.gguf import read_gguf
    from editc.formats.models.gguf_names import AliasedTensors

    header = read_gguf(place)
    own = {n: Tensor(place, e.start, e.end - e.start, e.dtype, e.shape) for n, e in header.entries.items()}
    of = header.metadata.get("split.count", "1")
    notes = (
        () if of in ("0", "1") else (f"{place.name} is one of {of[:20]} parts; editc does not read or edit the others",)
    )
    return Checkpoint(name, AliasedTensors(own, header.metadata, _mark_row_order), header.metadata, notes)


def _mark_row_order(tensor: Tensor) -> Tensor:
    """The tensor, marked as one whose rows may be in another order."""
    return replace(tensor, fault="llama.cpp may store its rows in another order, for its rotary embedding")


def _with_scales(found: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors; each of 8-bit floats has the scale that is stored beside it."""
    scaled = {}
    for name, tensor in found.items():
        if tensor.dtype in dtypes.EIGHT_BITS and (scales := [n for n in scale_names(name) if n in found]):
            fault = "" if len(scales) == 1 else f"it has {len(scales)} scales: {', '.join(scales)}"
            scaled[name] = replace(tensor, scale=found[scales[0]], fault=fault)
    return {**found, **scaled}


def scale_names(name: str) -> tuple[str, ...]:
    """The names that the scale of a quantised tensor may have: in transformers and compressed-tensors, in ComfyUI, and
    in DeepSeek and those who follow it. All of them multiply, although the last one is called inverse."""
    stem = name.removesuffix(".weight")
    return f"{stem}.weight_scale", f"{stem}.scale_weight", f"{stem}.weight_scale_inv"


def _open_graph(name: str, path: Path) -> Checkpoint:
    """Open the tensors of an ONNX file, under its own names. Raises E661 and E662."""
    from editc.formats.containers import onnx, onnx_external

    graph = onnx.read_graph(path)
    found = {
        tensor: Tensor(place.file, place.offset, place.nbytes, graph.tensors[tensor].dtype, graph.tensors[tensor].shape)
        for tensor, place in onnx_external.locate_tensors(graph).items()
    }
    return Checkpoint(name, found, graph=graph)


_OPENERS: Mapping[str, Callable[[str, Path], Checkpoint]] = MappingProxyType({GGUF: _open_gguf, ONNX: _open_graph})
"""Ending -> how a model of one such file is opened. All other files are safetensors."""


def _find_ldm_components(whole: Checkpoint, place: Path) -> Mapping[str, Mapping[str, LdmPiece]]:
    """The components in an LDM single file; {} for any other file. Raises E660 where the names contradict one
    another."""
    from editc.formats.models import ldm_file

    if container_of(place).converter:
        return {}
    try:
        return ldm_file.find_components(whole.tensors)
    except ValueError as error:
        help_text = "convert it to a diffusers folder: StableDiffusionPipeline.from_single_file, then save_pretrained"
        message = f"the tensors have LDM names, but not those of a Stable Diffusion UNet: {error}"
        raise fail("E660", message, place=str(place), help=help_text) from error


def _select_component(whole: Checkpoint, name: str, part: Mapping[str, LdmPiece]) -> Checkpoint:
    """One component of an LDM file: the same tensors in the file, under new names."""
    from editc.formats.models import ldm_file

    tensors = {new: _take_rows(whole, piece) for new, piece in part.items()}
    return Checkpoint(name, tensors, whole.metadata, (*whole.notes, *ldm_file.ema_notes(whole.tensors)))


def _take_rows(whole: Checkpoint, piece: LdmPiece) -> Tensor:
    """The tensor of a piece: the whole tensor of the file, or one of its blocks of rows. Raises E660 where it has no
    such blocks."""
    tensor = whole.tensors[piece.name]
    if piece.of == 1:
        return tensor
    rows, rest = divmod(tensor.shape[0] if tensor.shape else 0, piece.of)
    if rest or tensor.nbytes % piece.of:
        message = f"tensor '{piece.name}' has the shape {tensor.shape}, which {piece.of} projections cannot share"
        raise fail("E660", message, place=str(tensor.file), help="fetch the file again")
    size = tensor.nbytes // piece.of
    return replace(tensor, offset=tensor.offset + piece.index * size, nbytes=size, shape=(rows, *tensor.shape[1:]))


def _only_metadata(headers: Mapping[Path, Header]) -> Mapping[str, str]:
    """The metadata of the only file; {} where there are several."""
    return next(iter(headers.values())).metadata if len(headers) == 1 else {}


def _shards_error(reason: str, choice: layout.WeightFiles) -> Exception:
    """E613: the shards do not fit their index or one another."""
    help_text = "fetch the model again: its index and its shards are not from the same version"
    return fail("E613", f"the shards do not fit together: {reason}", place=str(choice.index), help=help_text)
