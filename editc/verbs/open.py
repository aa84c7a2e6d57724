"""A manifest and its model, each opened, read and recognised once, whatever is then done with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Manifest
from editc.formats.models.model import Model
from editc.opening.target import Target
from editc.verbs.kind import OpenedManifest
from editc.verbs.kinds import kind_of


def open_manifest(path: Path, overrides: Sequence[str] = ()) -> tuple[OpenedManifest | None, tuple[Diagnostic, ...]]:
    """The manifest in a file with its model, None where nothing of it can be read; and what was found in the manifest.

    One of `erase` alone does not say for which kind of model it is: the model's header does. A model that cannot be
    opened is no error here: whoever asks `Opened` for it is told. Raises E100 where the file cannot be read.
    """
    from editc.manifests.decode import parse_file, read_draft

    parsed = parse_file(path, overrides)
    target = _find_model(path, parsed.model)
    kind = parsed.kind or _kind_of_model(target)
    manifest, found = read_draft(parsed, path.parent, kind)
    if manifest is None:
        return None, found
    target = target if manifest.model == parsed.model else _find_model(path, manifest.model)
    return OpenedManifest(manifest, found, target, kind_of(manifest)), found


def require_manifest(path: Path, overrides: Sequence[str] = ()) -> OpenedManifest:
    """`open_manifest` of one without an error. Raises EditcError with all that was found where there is one."""
    opened, found = open_manifest(path, overrides)
    if opened is None or not opened.sound:
        raise EditcError(*found)
    return opened


def open_decoded(manifest: Manifest, model: Model | None = None) -> OpenedManifest:
    """A manifest that was decoded already, with the model that it names, or with `model`: for a delta that records its
    manifest, the one that the delta is measured on."""
    if model is None:
        return OpenedManifest(manifest, (), _find_model(Path(manifest.source.name), manifest.model), kind_of(manifest))
    return OpenedManifest(manifest, (), Target(model.place, manifest.model, model), kind_of(manifest))


def _find_model(path: Path, name: str) -> Target:
    """The model of that name: relative to the manifest first, then to where the command runs."""
    beside = path.parent / name
    return Target(beside if not Path(name).is_absolute() and beside.exists() else name, name)


def _kind_of_model(target: Target) -> Any:
    """The kind of a model, None where it cannot be opened or is of no family."""
    try:
        return target.family.models if target.name else None
    except EditcError:  # whoever opens it next says so
        return None
