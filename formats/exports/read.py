"""Read the delta from any file that holds one: editc's own, or an export in another program's spelling (see
`embed`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError, fail
from editc.formats.containers.canonical import DELTA_KEY, damage_error
from editc.formats.containers.ranges import read_range
from editc.formats.containers.safetensors import Header
from editc.formats.containers.table import Container, container_of
from editc.formats.delta import container as delta_file
from editc.formats.exports import embed
from editc.formats.exports.format import Format
from editc.numerics.bits import dtypes
from editc.registry.formats import FORMATS

Tensors: TypeAlias = Mapping[str, NDArray[Any]]
"""Name -> the array in float32."""


def is_delta(path: Path) -> bool:
    """True for a delta file, and for an export with a note, even if it is damaged."""
    file = tensor_file(path)
    try:
        return file.is_file() and DELTA_KEY in container_of(file).header(file).metadata
    except EditcError:
        return False


def format_of(path: Path) -> str:
    """The format of a delta file; `safetensors` for editc's own. Raises E601 and E602."""
    file = tensor_file(path)
    container = container_of(file)
    text = container.header(file).metadata.get(DELTA_KEY, "")
    return (
        "safetensors"
        if not text or (container.native and not text.startswith(embed.START))
        else parse_note(text, str(path)).kind
    )


def read_delta(place: Path | str) -> Delta:
    """Read the delta in a file: editc's own, or an export. Raises what `container.read_delta` raises, and E602."""
    path = tensor_file(Path(place))
    container = container_of(path)
    try:
        header = container.header(path)
    except EditcError as error:
        if not container.native:
            raise
        raise delta_file.misread_error(error, str(path)) from error
    text = header.metadata.get(DELTA_KEY, "")
    if container.native and not text.startswith(embed.START):
        return delta_file.read_delta(path)
    if not text:
        message, help_ = container.no_delta_texts
        raise fail("E603", message, place=str(place), help=help_)
    return _rebuild_delta(parse_note(text, str(place)), path, container, header)


def parse_note(text: str, place: str) -> embed.ExportNote:
    """Parse the note of an export. Raises E601, and E602 for a format that is not installed."""
    return embed.parse_note(text, place, FORMATS.names())


def tensor_file(path: Path) -> Path:
    """The file that holds the tensors: `path` itself, or the file inside the folder `path`."""
    return next((path / name for name in (embed.FOLDER_FILE, embed.COMPANION) if (path / name).is_file()), path)


def _rebuild_delta(about: embed.ExportNote, path: Path, container: Container, header: Header) -> Delta:
    """Build the delta from a note and the tensors beside it. If the container is `rewritten`, every byte of the file
    must be what `Format.whole` gives for that delta. Raises E601."""
    place, tensors = str(path), _read_tensors(path, container, header)
    form: Format = FORMATS.resolve(about.kind)
    if form.parts is None or (form.whole is not None) != container.reproducible:
        raise damage_error(f"a {about.kind} file is not read this way", place)
    try:
        parts = form.parts(about.description, tensors, about.options)
    except (KeyError, ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise damage_error(f"its tensors are not those that it describes: {str(error)[:200]}", place) from error
    delta = delta_file.assemble(about.description, parts, place)
    if form.whole is not None and form.whole(delta) != path.read_bytes():
        raise damage_error("its graph is not the one that belongs to its delta", place)
    return delta


def _read_tensors(path: Path, container: Container, header: Header) -> Tensors:
    """Read every tensor as float32, and the container's numbers. The file is read once; its tensors are small. Raises
    E601."""
    found = {}
    for name, entry in header.entries.items():
        if entry.dtype not in dtypes.EDITABLE:
            raise damage_error(f"tensor '{name[:200]}' is {entry.dtype}", str(path))
        try:
            raw = read_range(path, entry.start, entry.end - entry.start)
            values = dtypes.decode(raw, entry.dtype, entry.shape)
        except MemoryError as error:
            raise damage_error(f"tensor '{name[:200]}' is larger than the memory", str(path)) from error
        with np.errstate(over="ignore"):
            found[name] = values.astype(np.float32)
    if not container.number_prefix:
        return found
    numbers = {name: text for name, text in header.metadata.items() if name.startswith(container.number_prefix)}
    return found | {name: np.array(text, np.float32) for name, text in numbers.items()}
