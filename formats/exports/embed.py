"""What an export says of itself: the description of the delta that it holds, written into its file and read back.

An export in the safetensors or the GGUF container has one more metadata key, `editc` (ONNX Runtime's adapters have it
at their end): canonical JSON with the format's name, what its writer noted, and the description of the delta that the
file holds. The factors are read back from the tensors, the delta is put together from both, and its `delta_id` must
come out: no tensor and no word may have changed.
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
VERSION = 1
"""The version of the note, which is the one that this code reads and writes."""
START = '{"as":'
"""What a note begins with and a delta's own description, whose keys are sorted too, does not."""
FOLDER_FILE = "adapter_model.safetensors"
"""In a folder that PEFT made or reads, the file that holds the tensors."""
COMPANION = "editc.delta"
"""In a folder of another format, the delta itself; not named as weights are, so that no loader takes it for some."""
_KEYS = {"format", "version", "as", "options", "delta"}


@dataclass(frozen=True)
class ExportNote:
    """What an export says of itself."""

    kind: str
    """The name of its format."""
    options: Mapping[str, Any]
    """What the writer of the format noted for its reader."""
    description: Mapping[str, Any]
    """The delta's description, as `delta.description.describe` gives it."""


def make_note(kind: str, delta: Delta, options: Mapping[str, Any]) -> str:
    """The text of the `editc` key, for `delta` in the format `kind`; its `delta_id` is computed."""
    whole = with_delta_id(delta)
    about = delta_json.describe(whole, whole.delta_id)
    return canonical_json({"format": FORMAT, "version": VERSION, "as": kind, "options": dict(options), "delta": about})


def parse_note(text: str, place: str, formats: Collection[str]) -> ExportNote:
    """The opposite of `note`. `formats` are the names of all formats. Raises E601 and E602."""
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
    delta_json.check_version(value, place)
    delta_json.check_types(value, place)
    records = delta_json.site_records(value, place)
    for group in value["groups"]:
        if not set(delta_json.read_group(value, group, place)[1]) <= set(range(len(records))):
            raise damage_error(f"group '{group[:80]}' edits a site that does not exist", place)


def check_count(tensors: Sized, wanted: int, noun: str = "tensors") -> None:
    """Raises ValueError unless there are as many tensors as the sites of a delta need."""
    if len(tensors) != wanted:
        raise ValueError(f"there are {noun} that belong to no site")


def low_rank_parts(
    description: Mapping[str, Any], pair: Callable[[str], tuple[NDArray[np.float32], NDArray[np.float32]]]
) -> dict[str, NDArray[np.float32]]:
    """The factors of a low-rank delta by the names that a delta file gives them; `pair` finds a site's left (d_out, r)
    and right (r, d_in) by its name."""
    found = {}
    for group, entry in description["groups"].items():
        for k, index in enumerate(entry["sites"]):
            left, right = pair(description["sites"][index]["name"])
            found[tensor_name(group, "left", k)] = left
            found[tensor_name(group, "right", k)] = right
    return found
