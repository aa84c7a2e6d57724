"""Where the bytes of an ONNX model's tensors are: in the .onnx file, or in files beside it that it names.

The names come from the file and are not to be trusted: they must stay in its folder, by name and after every link
(but a hub cache, which is all links, may lead to blobs of the same repository).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from editc.diagnostics import EditcError, fail
from editc.formats.onnx_file import Graph, Held
from editc.numerics import dtypes


@dataclass(frozen=True)
class Place:
    """`nbytes` bytes at `offset` of `file`."""

    file: Path
    offset: int
    nbytes: int


def places(graph: Graph) -> Mapping[str, Place]:
    """By tensor where its bytes are, for all that have a place. Raises E662 for external data that cannot be right."""
    files = {location: _inside(location, graph.path) for location in graph.beside}
    sizes = {location: file.stat().st_size for location, file in files.items()}
    found = {}
    for name, held in graph.tensors.items():
        if held.span is not None:
            found[name] = Place(graph.path, held.span[0], held.span[1] - held.span[0])
        elif held.external is not None and held.dtype in dtypes.BITS:
            location = held.external.get("location", "")
            found[name] = _outside(name, held, files[location], sizes[location], graph.path)
    return found


def companions(graph: Graph) -> Mapping[str, Path]:
    """The files of external data, by the names that the model has for them. Raises E662."""
    return {location: _inside(location, graph.path) for location in graph.beside}


def overlapping(found: Mapping[str, Place], names: Iterator[str] | list[str]) -> Iterator[tuple[str, str]]:
    """Pairs of a tensor of `names` and another one that has bytes in common with it."""
    wanted, spans = set(names), sorted((p.file, p.offset, p.offset + p.nbytes, n) for n, p in found.items())
    open_: list[tuple[Path, int, int, str]] = []
    for file, start, end, name in spans:
        open_ = [one for one in open_ if one[0] == file and one[2] > start]
        for *_, other in open_:
            if name in wanted or other in wanted:
                yield (name, other) if name in wanted else (other, name)
        if end > start:
            open_.append((file, start, end, name))


def _inside(location: str, model: Path) -> Path:
    """The file that a model names as `location`. Raises E662."""
    path = PurePosixPath(location)
    strange = not location or "\0" in location or "\\" in location or ":" in location
    if strange or path.is_absolute() or ".." in path.parts:
        raise _wrong(f"it names the file '{location[:200]}', which is not one in its own folder", model)
    file = model.parent / path
    try:
        real = file.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise _wrong(f"its file '{location[:200]}' is not there", model, "put it beside the model") from error
    if not real.is_file() or not (real.is_relative_to(model.parent.resolve()) or _same_repository(real, model)):
        raise _wrong(f"its file '{location[:200]}' is a link to somewhere else", model)
    return file


def _same_repository(real: Path, model: Path) -> bool:
    homes = [parent for parent in model.absolute().parents if parent.name.startswith("models--")]
    return any(real.is_relative_to(home.resolve() / "blobs") for home in homes)


def _outside(name: str, held: Held, file: Path, size: int, model: Path) -> Place:
    assert held.external is not None
    try:
        offset = _number(held.external.get("offset", "0"))
        length = _number(held.external.get("length", str(size - offset)))
    except ValueError as error:
        raise _wrong(f"tensor '{name[:100]}' has the place {dict(held.external)}"[:300], model) from error
    wanted = dtypes.nbytes(held.dtype, held.shape)
    if length != wanted:
        raise _wrong(f"tensor '{name[:100]}' is {held.dtype} {list(held.shape)} but holds {length} bytes", model)
    if offset + length > size:
        raise _wrong(f"tensor '{name[:100]}' ends at byte {offset + length} of '{file.name}', which has {size}", model)
    return Place(file, offset, length)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(text)
    return int(text)


def _wrong(reason: str, model: Path, help_: str = "fetch the model again, with all of its files") -> EditcError:
    return fail("E662", f"the model's external data cannot be used: {reason}", place=str(model), help=help_)
