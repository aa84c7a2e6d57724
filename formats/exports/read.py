"""Files in other programs' spellings that still say which delta they are: the description they carry, and reading it.

An export in the safetensors or the GGUF container has one more metadata key, `editc` (ONNX Runtime's adapters have it
at their end): canonical JSON with the format's name, what its writer noted, and the description of the delta that the
file holds. The factors are read back from the tensors, the delta is put together from both, and its `delta_id` must
come out: no tensor and no word may have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError, fail
from editc.core.writable import check_file
from editc.formats.containers import onnx
from editc.formats.containers.canonical import damaged, dumps, strict_json
from editc.formats.containers.gguf import any_header
from editc.formats.containers.onnx_adapter import SUFFIX
from editc.formats.containers.ranges import read_range
from editc.formats.containers.safetensors import Header
from editc.formats.delta import container as safetensors_delta
from editc.formats.delta import description as delta_json
from editc.formats.models import layout
from editc.numerics.bits import dtypes
from editc.registry.formats import FORMATS

Tensors: TypeAlias = Mapping[str, NDArray[Any]]
Stored: TypeAlias = tuple[str, tuple[int, ...], bytes]
"""A tensor as a file holds it: dtype, shape, bytes."""
FORMAT = "editc-export"
VERSION = 1
FOLDER_FILE = "adapter_model.safetensors"
"""In a folder that PEFT made or reads, the file that holds the tensors."""
COMPANION = "editc.delta"
"""In a folder of another format, the delta itself; not named as weights are, so that no loader takes it for some."""
TOLD = {layout.ONNX, SUFFIX, ".gguf"}
"""Endings that say what a file is; all others are read as safetensors."""
_START = '{"as":'
"""What a note begins with and a delta's own description, whose keys are sorted too, does not."""
_KEYS = {"format", "version", "as", "options", "delta"}


@dataclass(frozen=True)
class Note:
    """What an export says of itself: the format, what its writer noted, and the delta's description."""

    kind: str
    options: Mapping[str, Any]
    description: Mapping[str, Any]


def note(kind: str, delta: Delta, options: Mapping[str, Any]) -> str:
    """The text of the `editc` key, for `delta` in the format `kind`; its `delta_id` is computed."""
    sealed = safetensors_delta.sealed(delta)
    about = delta_json.describe(sealed, sealed.delta_id)
    return dumps({"format": FORMAT, "version": VERSION, "as": kind, "options": dict(options), "delta": about})


def parsed_note(text: str, place: str) -> Note:
    """The opposite of `note`. Raises E601 and E602."""
    try:
        value: Any = strict_json(text)
    except ValueError as error:
        raise damaged(f"its description is not valid JSON: {str(error)[:200]}", place) from error
    if not isinstance(value, dict) or value.keys() != _KEYS or value["format"] != FORMAT:
        raise damaged("its description is not that of an export", place)
    if value["version"] != VERSION or value["as"] not in list(FORMATS.names()):
        help_ = "install a newer editc"
        message = f"this is an export of kind {str(value['as'])[:40]!r}, version {str(value['version'])[:10]}"
        raise fail("E602", f"{message}, which this editc does not know", place=place, help=help_)
    if not isinstance(value["options"], dict) or not isinstance(value["delta"], dict):
        raise damaged("its description has another type", place)
    delta_json.check_version(value["delta"], place)
    delta_json.check_types(value["delta"], place)
    records = delta_json.site_records(value["delta"], place)
    for group in value["delta"]["groups"]:
        if not set(delta_json.form(value["delta"], group, place)[1]) <= set(range(len(records))):
            raise damaged(f"group '{group[:80]}' edits a site that does not exist", place)
    return Note(value["as"], value["options"], value["delta"])


def container(tensors: Mapping[str, Stored], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file of (dtype, shape, bytes) by name: sorted, canonical, the same bytes every time."""
    document: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for name in sorted(tensors):
        dtype, shape, raw = tensors[name]
        document[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
    text = dumps(document).encode("ascii")
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *(tensors[name][2] for name in sorted(tensors))])


def stored(values: NDArray[Any], dtype: str) -> Stored:
    """An array as `container` takes it."""
    return dtype, values.shape, dtypes.encode(values.astype(np.float64), dtype)


def low_rank_parts(
    description: Mapping[str, Any], pair: Callable[[str], tuple[NDArray[np.float32], NDArray[np.float32]]]
) -> dict[str, NDArray[np.float32]]:
    """The factors of a low-rank delta by the names that a delta file gives them; `pair` finds a site's by its name."""
    found = {}
    for group, entry in description["groups"].items():
        for k, index in enumerate(entry["sites"]):
            left, right = pair(description["sites"][index]["name"])
            found[safetensors_delta.part_name(group, "left", k)] = left
            found[safetensors_delta.part_name(group, "right", k)] = right
    return found


def check_ending(out: Path, wanted: str, name: str) -> None:
    """Raises E697 where `out` has not the ending by which readers, editc among them, tell a format, or has that of
    another container.

    `wanted` is the ending that the format `name` has by itself; '' for a folder.
    """
    if out.suffix == wanted or not wanted or not TOLD & {out.suffix, wanted}:
        return
    message, help_ = f"`{name}` is told by its ending {wanted}", f"name it {out.name}{wanted}"
    if wanted not in TOLD:
        message = f"{out.suffix} is the ending of another kind of file than `{name}`"
        help_ = f"name it {out.stem}{wanted}"
    raise fail("E697", f"the result cannot be written there: {message}", place=str(out), help=help_)


def check_delta_file(out: Path) -> None:
    """Raises E697 unless a delta can be written at `out` and is found again there."""
    check_file(out)
    check_ending(out, ".safetensors", "delta")


def is_delta(path: Path) -> bool:
    """True for a delta file, and for a file or folder in another spelling that says which delta it is."""
    if _is_graph(path):
        with suppress(EditcError):
            return bool(onnx.note(onnx.read_graph(path), safetensors_delta.KEY))
        return False
    return safetensors_delta.is_delta(carrier(path))


def kind_of(path: Path) -> str:
    """The format of a delta file: `safetensors` for editc's own."""
    if _is_graph(path):
        return parsed_note(onnx.note(onnx.read_graph(path), safetensors_delta.KEY), str(path)).kind
    text = any_header(carrier(path)).metadata.get(safetensors_delta.KEY, "")
    return parsed_note(text, str(path)).kind if text.startswith(_START) else "safetensors"


def read_delta(place: Path | str) -> Delta:
    """The delta in a file: editc's own, or an export. Raises what `safetensors_delta.read_delta` raises, and E602."""
    path = carrier(Path(place))
    if _is_graph(path):
        return _read_graph(path)
    foreign = path.suffix in (".gguf", SUFFIX)
    try:
        header = any_header(path)
    except EditcError as error:
        if foreign:
            raise
        raise safetensors_delta.misread(error, str(path)) from error
    text = header.metadata.get(safetensors_delta.KEY, "")
    if foreign and not text:
        raise fail("E603", f"the {path.suffix} file is not an export of editc: it describes no delta", place=str(place))
    if not foreign and not text.startswith(_START):
        return safetensors_delta.read_delta(path)
    return _rebuilt(parsed_note(text, str(place)), path, _tensors(path, header, str(path)))


def _read_graph(path: Path) -> Delta:
    """The delta in an ONNX file that editc wrote. Every byte of it follows from the delta, its nodes too, and must be
    as it was written."""
    graph = onnx.read_graph(path)
    text = onnx.note(graph, safetensors_delta.KEY)
    if not text:
        help_ = "give a delta, or an export of one; is this the model itself?"
        raise fail("E603", "this ONNX file holds no delta", place=str(path), help=help_)
    about, data = parsed_note(text, str(path)), path.read_bytes()
    tensors = {
        name: np.frombuffer(data[held.span[0] : held.span[1]], "<f4").reshape(held.shape)
        for name, held in graph.tensors.items()
        if held.span is not None and held.dtype == "F32"
    }
    delta = _rebuilt(about, path, tensors)
    whole = FORMATS.resolve(about.kind).whole
    if whole is None or whole(delta) != data:
        raise damaged("its graph is not the one that belongs to its delta", str(path))
    return delta


def _rebuilt(about: Note, path: Path, tensors: Tensors) -> Delta:
    place, form = str(path), FORMATS.resolve(about.kind)
    if form.parts is None or (form.whole is not None) != _is_graph(path):
        raise damaged(f"a {about.kind} file is not read this way", place)
    try:
        parts = form.parts(about.description, tensors, about.options)
    except (KeyError, ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise damaged(f"its tensors are not those that it describes: {str(error)[:200]}", place) from error
    return safetensors_delta.assembled(about.description, parts, place)


def _tensors(path: Path, header: Header, place: str) -> Tensors:
    """Every tensor in float32; they are small, and a file is read once."""
    found = {}
    for name, entry in header.entries.items():
        if entry.dtype not in dtypes.EDITABLE:
            raise damaged(f"tensor '{name[:200]}' is {entry.dtype}", place)
        try:
            raw = read_range(path, entry.start, entry.end - entry.start)
            values = dtypes.decode(raw, entry.dtype, entry.shape)
        except MemoryError as error:
            raise damaged(f"tensor '{name[:200]}' is larger than the memory", place) from error
        with np.errstate(over="ignore"):
            found[name] = values.astype(np.float32)
    numbers = {name: text for name, text in header.metadata.items() if name.startswith("adapter.lora.")}
    return found | {name: np.array(text, np.float32) for name, text in numbers.items() if path.suffix == ".gguf"}


def _is_graph(path: Path) -> bool:
    return path.suffix == layout.ONNX and path.is_file()


def carrier(path: Path) -> Path:
    """The file that holds the tensors: `path` itself, or the one in the folder `path`."""
    return next((path / name for name in (FOLDER_FILE, COMPANION) if (path / name).is_file()), path)
