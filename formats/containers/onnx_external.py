"""Find the file and byte range of each tensor of an ONNX model: in the .onnx file, or in external data files it names.

The names of external files come from the model and cannot be trusted. They must stay in the model's folder, both as
written and after every link is followed. One exception: in a hub cache, where every file is a link, they may lead to
blobs of the same repository.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from editc.core.diagnostics import EditcError, fail
from editc.formats.containers.onnx import Graph, GraphTensor
from editc.numerics.bits import dtypes


@dataclass(frozen=True)
class BytePlace:
    """Where the bytes of a tensor are."""

    file: Path
    """The .onnx file, or an external data file in its folder."""
    offset: int
    """Position of the first byte in the file."""
    nbytes: int
    """How many bytes there are."""


def locate_tensors(graph: Graph) -> Mapping[str, BytePlace]:
    """Tensor -> where its bytes are; tensors whose bytes cannot be edited in place are missing. Raises E662 for
    external data that cannot be right."""
    files = {location: _resolve_inside(location, graph.path) for location in graph.external_locations}
    sizes = {location: file.stat().st_size for location, file in files.items()}
    found = {}
    for name, tensor in graph.tensors.items():
        if tensor.span is not None:
            found[name] = BytePlace(graph.path, tensor.span[0], tensor.span[1] - tensor.span[0])
        elif tensor.external is not None and tensor.dtype in dtypes.BITS:
            location = tensor.external.get("location", "")
            found[name] = _external_place(name, tensor, files[location], sizes[location], graph.path)
    _refuse_overlaps(found, sum(sizes.values()), graph.path)
    return found


def _refuse_overlaps(found: Mapping[str, BytePlace], size: int, model: Path) -> None:
    """Raises E662 where external tensors have more bytes together than their files. Two tensors may be the same bytes,
    but may not overlap otherwise: a small file could then ask for endless work."""
    if sum(place.nbytes for place in set(found.values()) if place.file != model) > size:
        raise _external_error("its tensors overlap", model)


def external_files(graph: Graph) -> Mapping[str, Path]:
    """Name of an external data file in the model -> its path. Raises E662."""
    return {location: _resolve_inside(location, graph.path) for location in graph.external_locations}


def find_overlaps(found: Mapping[str, BytePlace], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each tensor of `names` that shares bytes with another tensor, and that other tensor."""
    spans = sorted((p.file, p.offset, p.offset + p.nbytes, name) for name, p in found.items() if p.nbytes)
    wanted = set(names)
    far: tuple[Path, int, int, str] | None = None  # the earlier span that reaches furthest
    for i, span in enumerate(spans):
        file, start, end, name = span
        after = spans[i + 1] if i + 1 < len(spans) else None
        if name in wanted and far is not None and far[0] == file and far[2] > start:
            yield name, far[3]
        elif name in wanted and after is not None and after[0] == file and after[1] < end:
            yield name, after[3]
        if far is None or far[0] != file or far[2] < end:
            far = span


def _resolve_inside(location: str, model: Path) -> Path:
    """The path of the file that a model names as `location`. Raises E662 unless it is a file in the model's folder."""
    path = PurePosixPath(location)
    strange = not location or "\0" in location or "\\" in location or ":" in location
    if strange or path.is_absolute() or ".." in path.parts:
        raise _external_error(f"it names the file '{location[:200]}', which is not a file of its own folder", model)
    file = model.parent / path
    try:
        real = file.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise _external_error(f"its file '{location[:200]}' is not there", model, "put it beside the model") from error
    if not real.is_file() or not (real.is_relative_to(model.parent.resolve()) or _same_repository(real, model)):
        raise _external_error(f"its file '{location[:200]}' is a link to somewhere else", model)
    return file


def _same_repository(real: Path, model: Path) -> bool:
    """True where `real` is a blob of the repository in the hub cache that the model is in."""
    homes = [parent for parent in model.absolute().parents if parent.name.startswith("models--")]
    return any(real.is_relative_to(home.resolve() / "blobs") for home in homes)


def _external_place(name: str, tensor: GraphTensor, file: Path, size: int, model: Path) -> BytePlace:
    """Where the bytes of a tensor in external data are; `size` is that of `file`. Raises E662 where they do not fit."""
    assert tensor.external is not None
    try:
        offset = _parse_number(tensor.external.get("offset", "0"))
        length = _parse_number(tensor.external.get("length", str(size - offset)))
    except ValueError as error:
        raise _external_error(f"tensor '{name[:100]}' has the place {dict(tensor.external)}"[:300], model) from error
    wanted = dtypes.nbytes(tensor.dtype, tensor.shape)
    if length != wanted:
        raise _external_error(
            f"tensor '{name[:100]}' is {tensor.dtype} {list(tensor.shape)} but holds {length} bytes", model
        )
    if offset + length > size:
        raise _external_error(
            f"tensor '{name[:100]}' ends at byte {offset + length} of '{file.name}', which has {size}", model
        )
    return BytePlace(file, offset, length)


def _parse_number(text: str) -> int:
    """A number from its decimal text. Raises ValueError for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(text)
    return int(text)


def _external_error(
    reason: str, model: Path, help_: str = "fetch the model again, with all of its files"
) -> EditcError:
    """E662: the external data of a model cannot be used."""
    return fail("E662", f"the model's external data cannot be used: {reason}", place=str(model), help=help_)
