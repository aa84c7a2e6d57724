"""Looks through what a build will load besides the weights that it edits, without a model library.

So `check` finds in a moment what a build would find later: pickles, Git LFS pointers, dead links, damaged headers and
JSON, a text encoder of another class.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from editc.core.diagnostics import fail
from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.formats.containers import placeholders
from editc.formats.containers.safetensors import read_small
from editc.formats.models.model import Checkpoint, Model, open_component
from editc.libraries.text_encoders import encoder_parts, refuse_other_class, require_parts, tokenizer_of

JSON_BYTES = 64_000_000
"""The largest JSON file that is read, in bytes; the largest tokenizers have some 35 MB."""
ADAPTER = "adapter_config.json"
"""A file of PEFT, with which transformers would load an adapter on top of the model."""


def require_language_folder(model: Model) -> None:
    """Raises E205, E610 to E613 and E616 to E618 for a language model that a build could not load."""
    _language(model.path)
    _require_floats(model.component())


def require_pipeline(manifest: Manifest, model: Model, family: Family) -> None:
    """Raises E205, E224, E610 to E613 and E616 to E618 for a pipeline that a build could not load. It skips a single
    file, and a model for which the manifest names an `encoder`: opening that encoder finds the same faults."""
    if model.layout == "pipeline" and manifest.encoder is None:
        _pipeline(model.path, family, manifest.images is not None)


def _language(folder: Path) -> None:
    """Checks the folder of a language model. Its weights have been opened before."""
    placeholders.refuse_in(folder)
    if (folder / ADAPTER).is_file():
        message = f"the folder holds an adapter beside the model (`{ADAPTER}`), which transformers would load with it"
        help_text = "merge the adapter into the model (`merge_and_unload()`), or move its files elsewhere"
        raise fail("E205", message, place=str(folder), help=help_text)
    _require_json(folder)


def _pipeline(folder: Path, family: Family, painted: bool) -> None:
    """Checks the text encoders and tokenizers of a pipeline. `painted`: pictures will be painted, so code of its own is
    refused too."""
    require_parts(folder, family.streams["text"])
    for part, t5 in dict(_text_parts(folder, family)).items():
        for place in (folder / part, folder / tokenizer_of(part)):
            placeholders.refuse_in(place)
            _require_json(place)
        if not (folder / part / "config.json").is_file():
            message = f"the model's `{part}` has no `config.json`, which says how its weights are read"
            raise fail("E205", message, place=str(folder / part), help="fetch the folder again, all of its files")
        refuse_other_class(folder, part, t5)
        _require_floats(open_component(part, folder / part))
    if painted:
        from editc.libraries.pipeline_index import refuse_own_code

        refuse_own_code(folder)


def _require_floats(checkpoint: Checkpoint) -> None:
    """Raises E616 for weights that are stored as integers: the libraries would read the integers as the values."""
    found = [name for name in checkpoint.names() if name.endswith(".weight") and checkpoint.dtype(name)[:1] in "IU"]
    if found:
        message = (
            f"tensor '{found[0]}' is stored as {checkpoint.dtype(found[0])}, and {len(found)} weights are integers"
        )
        help_text = "name the model in F32, F16 or BF16; quantise it after the edit"
        raise fail("E616", message, place=str(checkpoint.where(found[0]).file), help=help_text)


def _text_parts(folder: Path, family: Family) -> Iterator[tuple[str, bool]]:
    """Each text encoder that is there with its tokenizer, and whether it should be a T5."""
    for stream in family.streams.values():
        for part in encoder_parts(folder, stream):
            yield part, stream.take == "t5"


def _require_json(folder: Path) -> None:
    """Raises E617 for a damaged JSON file in a folder, or a configuration that is not an object."""
    for path in sorted(folder.glob("*.json")):
        found = _read(path)
        if path.name.endswith("config.json") and not isinstance(found, dict):
            raise fail("E617", "this configuration is not a JSON object", place=str(path))


def _read(path: Path) -> Any:
    """A JSON file. Raises E617 where it is damaged."""
    try:
        return json.loads(read_small(path, JSON_BYTES).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        help_text = "fetch the file again"
        raise fail("E617", f"this is not valid JSON: {str(error)[:200]}", place=str(path), help=help_text) from error
