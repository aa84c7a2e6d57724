"""The note in an export: the description of the delta that the file holds, with which editc reads the file back.

An export as a safetensors or GGUF file has one more metadata key, `editc`; an adapter of ONNX Runtime has the note at
its end. The note is canonical JSON: the format's name, options of its writer, and the description of the delta. To read
the export, editc takes the factors from the tensors and builds the delta from both. Its `delta_id` must be the recorded
one, so no tensor and no word can have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Delta
from editc.core.diagnostics import fail
from editc.formats.containers.canonical import canonical_json, damage_error, strict_json
from editc.formats.delta import description as delta_json
from editc.formats.delta.container import tensor_name, with_delta_id

FORMAT = "editc-export"
"""The `format` of every note."""
VERSION = 1
"""The version of the notes that this code reads and writes."""
START = '{"as":'
"""A note begins with this. A delta's own description does not, because its keys are sorted too."""
FOLDER_FILE = "adapter_model.safetensors"
"""The file with the tensors, in a folder for PEFT."""
COMPANION = "editc.delta"
"""The file with the delta itself, in a folder of another format. Its ending is not that of a weight file, so that no
loader takes it for one."""
_KEYS = {"format", "version", "as", "options", "delta"}
"""The keys of a note."""


@dataclass(frozen=True)
class ExportNote:
    """What an export says about itself."""

    kind: str
    """The name of its format."""
    options: Mapping[str, Any]
    """What the format's `write` recorded for its `parts`."""
    description: Mapping[str, Any]
    """The delta's description, as `delta.description.describe` gives it."""


def make_note(kind: str, delta: Delta, options: Mapping[str, Any]) -> str:
    """Make the text of the `editc` key for `delta` in the format `kind`. Computes the `delta_id`."""
    whole = with_delta_id(delta)
    about = delta_json.describe(whole, whole.delta_id)
    return canonical_json({"format": FORMAT, "version": VERSION, "as": kind, "options": dict(options), "delta": about})


def parse_note(text: str, place: str, formats: Collection[str]) -> ExportNote:
    """Parse the text of a note. `formats`: the names of all known formats. Raises E601 (damaged) and E602 (unknown
    format or version)."""
    try:
        value: Any = strict_json(text)
    except ValueError as error:
        raise damage_error(f"its description is not valid JSON: {str(error)[:200]}", place) from error
    if not isinstance(value, dict) or value.keys() != _KEYS or value["format"] != FORMAT:
        raise damage_error("its description is not that of an export", place)
    if value["version"] != VERSION or value["as"] not in list(formats):
        help_ = "install a newer editc"
        message = f"this is an export of kind {str(value['as'])[:40]!r}, version {str(value['version'])[:10]}"
        raise fail("E602", f"{message}, which this editc does not know", place=place, help=help_)
    if not isinstance(value["options"], dict) or not isinstance(value["delta"], dict):
        raise damage_error("its description has another type", place)
    _check_description(value["delta"], place)
    return ExportNote(value["as"], value["options"], value["delta"])


def _check_description(value: Mapping[str, Any], place: str) -> None:
    """Check that a description can be read and that its groups edit sites that exist. Raises E601 and E602."""
    delta_json.check_version(value, place)
    delta_json.check_types(value, place)
    records = delta_json.site_records(value, place)
    for group in value["groups"]:
        if not set(delta_json.read_group(value, group, place)[1]) <= set(range(len(records))):
            raise damage_error(f"group '{group[:80]}' edits a site that does not exist", place)


def check_count(tensors: Sized, wanted: int, noun: str = "tensors") -> None:
    """Raise ValueError unless there are as many tensors as the sites of a delta need."""
    if len(tensors) != wanted:
        raise ValueError(f"there are {noun} that belong to no site")


def low_rank_parts(
    description: Mapping[str, Any], pair: Callable[[str], tuple[NDArray[np.float32], NDArray[np.float32]]]
) -> dict[str, NDArray[np.float32]]:
    """Name the factors of a low-rank delta as a delta file does. `pair` returns a site's left (d_out, r) and right (r,
    d_in) by the site's name."""
    found = {}
    for group, entry in description["groups"].items():
        for k, index in enumerate(entry["sites"]):
            left, right = pair(description["sites"][index]["name"])
            found[tensor_name(group, "left", k)] = left
            found[tensor_name(group, "right", k)] = right
    return found
