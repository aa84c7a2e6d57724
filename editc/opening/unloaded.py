"""The parts of a model that a build does not load and that yet must be whole: what is edited, and what paints with it.

Their headers are compared with the network that their config.json describes, which is made without memory for its
weights; their values are looked through for NaN and infinity, once for each file as it is.
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
from editc.libraries.loading import Difference, library_errors, refuse_values, require_whole


def check_unloaded_parts(model: Model, edited: str, cache: Cache | None) -> Iterator[Diagnostic]:
    """Raises E205 and E402 for a part that is not what its configuration says, or holds NaN or infinity; a warning,
    E226, for an edited part without a configuration to compare with. `edited` is the component that a build edits."""
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
    """What is edited, and every other part of diffusers' own classes: a VAE, a second denoiser."""
    if model.layout != "pipeline":
        ((_, place),) = model.components.items()
        return {edited: place}
    return {part: place for part, place in model.components.items() if part == edited or _class(place) is not None}


def _class(place: Path) -> Any:
    """The diffusers class that a folder's config.json names; None where it names none."""
    if not place.is_dir():
        return None
    name = settings_of(place).get("_class_name")
    if not isinstance(name, str):
        return None
    import diffusers

    with quiet():
        kind = getattr(diffusers, name, None)
    return kind if hasattr(kind, "from_config") and hasattr(kind, "state_dict") else None


def _compare(checkpoint: Checkpoint, kind: Any, folder: Path, what: str) -> Difference:
    """The header against the network, whose parameters are made as shapes alone ("meta")."""
    import torch

    with quiet(), library_errors(f"{what} cannot be made as its config.json says", folder), torch.device("meta"):
        network = kind.from_config(dict(settings_of(folder)))
        held = {name: checkpoint.shape(name) for name in checkpoint.names()}
        renamed = getattr(network, "_fix_state_dict_keys_on_load", None) or getattr(
            network, "_convert_deprecated_attention_blocks", None
        )
        if renamed is not None:  # names of attention in VAEs of long ago, which diffusers still reads
            renamed(held)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    shapes = [(name, held[name], wanted[name]) for name in held.keys() & wanted.keys() if held[name] != wanted[name]]
    ignored = tuple(getattr(kind, "_keys_to_ignore_on_load_unexpected", None) or ())
    return Difference.of(wanted.keys() - held.keys(), held.keys() - wanted.keys(), shapes, ignored)


def _cannot_compare(part: str, place: Path) -> Diagnostic:
    return Diagnostic(
        "E226",
        f"nothing says how the `{part}` is built, so its tensors were not compared with what they should be",
        place=str(place),
        help="build from a diffusers folder of the model, with its config.json, if a tensor may be missing",
        severity="warning",
    )


def _is_known(checkpoint: Checkpoint, cache: Cache | None) -> bool:
    return cache is not None and cache.get(_stamp(checkpoint)) is not None


def _remember(checkpoint: Checkpoint, cache: Cache | None) -> None:
    if cache is not None:
        cache.put(_stamp(checkpoint), {"finite": np.ones(1)})


def _stamp(checkpoint: Checkpoint) -> str:
    """The files as they are now: a file that is written to has another time of change."""
    files = sorted({tensor.file for tensor in checkpoint.tensors.values()})
    told = [(file.resolve(), file.stat()) for file in files]
    return json.dumps(["finite 1", *[[str(p), s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for p, s in told]])
