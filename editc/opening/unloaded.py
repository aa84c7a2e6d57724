"""Checks the parts of a model that a build does not load but that must be whole: what is edited, and what paints with
it.

Their headers are compared with the network that config.json describes. A published network is known by a digest of its
header; diffusers makes any other, without memory for its weights. Their values are searched for NaN and infinity. Both
is done once for each state of the files: the cache remembers what was whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
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
from editc.opening.kept import file_states
from editc.opening.known_networks import is_known

WHOLE, FINITE = "whole", "finite"
"""What the cache remembers of files: that their tensors are those of their configuration and finite, or only finite,
where there is no configuration."""


def check_unloaded_parts(model: Model, edited: str, cache: Cache | None) -> Iterator[Diagnostic]:
    """Raises E205 for a part that is not what its configuration says, and E402 for one that holds NaN or infinity.
    Yields a warning, E226, where the edited part has no configuration to compare with. `edited` is the component that a
    build edits."""
    for part, place in _parts(model, edited).items():
        checkpoint, what = model.component(part), f"the model's `{part}`"
        folder = place if place.is_dir() else place.parent
        stamp = _stamp(checkpoint, place)
        known = cache.get(stamp) if cache is not None else None
        if known is not None and WHOLE in known:
            continue
        whole = is_known(checkpoint, _settings(place)) or _fits_diffusers(checkpoint, place, folder, what)
        if not whole and part != edited:
            continue
        if not whole:
            yield _cannot_compare(part, place)
        if known is None:
            refuse_values(find_non_finite(checkpoint), what, folder)
        if cache is not None:
            cache.put(stamp, {WHOLE if whole else FINITE: np.ones(1)}, "files found whole")


def _parts(model: Model, edited: str) -> Mapping[str, Path]:
    """Name -> place of the edited part, and of every other part with a class of diffusers, such as a VAE or a second
    denoiser."""
    if model.layout != "pipeline":
        ((_, place),) = model.components.items()
        return {edited: place}
    return {part: place for part, place in model.components.items() if part == edited or _class_name(place)}


def _settings(place: Path) -> Mapping[str, Any]:
    """The config.json of a folder; {} for a file."""
    return settings_of(place) if place.is_dir() else {}


def _class_name(place: Path) -> str:
    """The class that the config.json of a folder names, as diffusers writes it; '' for none."""
    name = _settings(place).get("_class_name", "")
    return name if isinstance(name, str) else ""


def _class(place: Path) -> Any:
    """The class of diffusers that the config.json of a folder names. None where diffusers has none of that name."""
    name = _class_name(place)
    if not name:
        return None
    import diffusers

    with quiet():
        kind = getattr(diffusers, name, None)
    return kind if hasattr(kind, "from_config") and hasattr(kind, "state_dict") else None


def _fits_diffusers(checkpoint: Checkpoint, place: Path, folder: Path, what: str) -> bool:
    """True where the part is what diffusers makes of its config.json, False where diffusers makes nothing of it. Raises
    E205 where the two differ."""
    kind = _class(place)
    if kind is not None:
        require_whole(compare_header(checkpoint, kind, _settings(place), folder, what), what, kind.__name__, folder)
    return kind is not None


def compare_header(
    checkpoint: Checkpoint, kind: Any, settings: Mapping[str, Any], folder: Path, what: str
) -> TensorMismatch:
    """Compares a header with the network that diffusers makes of these settings: as shapes alone (device "meta")."""
    import torch

    with quiet(), library_errors(f"{what} cannot be created from its config.json", folder), torch.device("meta"):
        network = kind.from_config(dict(settings))
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


def _stamp(checkpoint: Checkpoint, place: Path) -> str:
    """The cache key of the files in their present state, of their settings and of the diffusers that compares them.
    Writing to a file changes it, because the time of change is part of it."""
    files = sorted({tensor.file for tensor in checkpoint.tensors.values()})
    return json.dumps(["whole 2", version("diffusers"), _settings(place), file_states(files)])
