"""Checks the parts of a model that a build does not load but that must be whole: what is edited, and what paints with
it.

Their headers are compared with the network that config.json describes, which is made without memory for its weights.
Their values are searched for NaN and infinity, once for each state of a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from editc.core.diagnostics import Diagnostic
from editc.core.ports import Cache
from editc.formats.models.fingerprint import settings_of
from editc.formats.models.finite import find_non_finite
from editc.formats.models.model import Checkpoint, Model
from editc.libraries.foreign import quiet
from editc.libraries.loading import TensorMismatch, library_errors, refuse_values, require_whole


def check_unloaded_parts(model: Model, edited: str, cache: Cache | None) -> Iterator[Diagnostic]:
    """Raises E205 for a part that is not what its configuration says, and E402 for one that holds NaN or infinity.
    Yields a warning, E226, where the edited part has no configuration to compare with. `edited` is the component that a
    build edits."""
    for part, place in _parts(model, edited).items():
        checkpoint, what = model.component(part), f"the model's `{part}`"
        folder = place if place.is_dir() else place.parent
        kind = _class(place)
        if kind is not None:
            require_whole(_compare(checkpoint, kind, folder, what), what, kind.__name__, folder)
        elif part == edited:
            yield _cannot_compare(part, place)
        if not _is_known(checkpoint, cache):
            refuse_values(find_non_finite(checkpoint), what, folder)
            _remember(checkpoint, cache)


def _parts(model: Model, edited: str) -> Mapping[str, Path]:
    """Name -> place of the edited part, and of every other part of diffusers' own classes, such as a VAE or a second
    denoiser."""
    if model.layout != "pipeline":
        ((_, place),) = model.components.items()
        return {edited: place}
    return {part: place for part, place in model.components.items() if part == edited or _class(place) is not None}


def _class(place: Path) -> Any:
    """The diffusers class that the config.json of a folder names. None where it names none."""
    if not place.is_dir():
        return None
    name = settings_of(place).get("_class_name")
    if not isinstance(name, str):
        return None
    import diffusers

    with quiet():
        kind = getattr(diffusers, name, None)
    return kind if hasattr(kind, "from_config") and hasattr(kind, "state_dict") else None


def _compare(checkpoint: Checkpoint, kind: Any, folder: Path, what: str) -> TensorMismatch:
    """Compares the header with the network, whose parameters are made as shapes alone (on the device "meta")."""
    import torch

    with quiet(), library_errors(f"{what} cannot be created from its config.json", folder), torch.device("meta"):
        network = kind.from_config(dict(settings_of(folder)))
        held = {name: checkpoint.shape(name) for name in checkpoint.names()}
        renamed = getattr(network, "_fix_state_dict_keys_on_load", None) or getattr(
            network, "_convert_deprecated_attention_blocks", None
        )
        if renamed is not None:  # old names of attention layers in VAEs, which diffusers still reads
            renamed(held)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    shapes = [(name, held[name], wanted[name]) for name in held.keys() & wanted.keys() if held[name] != wanted[name]]
    ignored = tuple(getattr(kind, "_keys_to_ignore_on_load_unexpected", None) or ())
    return TensorMismatch.of(wanted.keys() - held.keys(), held.keys() - wanted.keys(), shapes, ignored)


def _cannot_compare(part: str, place: Path) -> Diagnostic:
    """The warning E226."""
    return Diagnostic(
        "E226",
        f"no config.json says how the `{part}` is built, so editc could not check that its tensors are complete",
        place=str(place),
        help="to have them checked, build from the model's diffusers folder, with its config.json",
        severity="warning",
    )


def _is_known(checkpoint: Checkpoint, cache: Cache | None) -> bool:
    """True where these very files were found finite before."""
    return cache is not None and cache.get(_stamp(checkpoint)) is not None


def _remember(checkpoint: Checkpoint, cache: Cache | None) -> None:
    """Notes in the cache that these files are finite."""
    if cache is not None:
        cache.put(_stamp(checkpoint), {"finite": np.ones(1)})


def _stamp(checkpoint: Checkpoint) -> str:
    """The cache key of the files in their present state. Writing to a file changes it, because the time of change is
    part of it."""
    files = sorted({tensor.file for tensor in checkpoint.tensors.values()})
    states = [(file.resolve(), file.stat()) for file in files]
    return json.dumps(["finite 1", *[[str(p), s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for p, s in states]])
