"""Open a manifest together with its model: each is read once, and the model's family is recognised once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Manifest
from editc.core.places import Source
from editc.formats.models.model import Model
from editc.opening.target import Target
from editc.verbs.kind import ModelKind, OpenedManifest

PLACES: Mapping[str, str] = {
    "image": "editc.verbs.image:IMAGE",
    "language": "editc.verbs.language:LANGUAGE",
}
"""Kind of model -> `module:attribute` of its `ModelKind`, imported only when a model of that kind is used."""


def kind_of(manifest: Manifest) -> ModelKind:
    """The kind of model that a manifest is for."""
    module, _, attribute = PLACES[manifest.kind].partition(":")
    found: ModelKind = getattr(import_module(module), attribute)
    return found


def open_manifest(
    given: Path | Source, overrides: Sequence[str] = ()
) -> tuple[OpenedManifest | None, tuple[Diagnostic, ...]]:
    """Open the manifest in a file, or its text, with its model. Returns (None, errors) if nothing of it can be read.

    The second value is every error and warning of the manifest. If all its edits are `erase`, the words do not say
    which kind of model it is for, so the model's header decides. A model that cannot be opened raises only when a
    property of `OpenedManifest` needs it. Raises E100 if the manifest's file cannot be read.
    """
    from editc.manifests.decode import parse, read_draft, read_source

    source = given if isinstance(given, Source) else read_source(given)
    path, parsed = Path(source.name), parse(replace(source, overrides=tuple(overrides)))
    target = _find_model(path, parsed.model)
    kind = parsed.kind or _kind_of_model(target)
    manifest, found = read_draft(parsed, path.parent, kind)
    if manifest is None:
        return None, found
    target = target if manifest.model == parsed.model else _find_model(path, manifest.model)
    return OpenedManifest(manifest, found, target, kind_of(manifest)), found


def require_manifest(given: Path | Source, overrides: Sequence[str] = (), model: Model | None = None) -> OpenedManifest:
    """`open_manifest` for a manifest that must be sound. Raises EditcError with everything found if it has an error.

    `model` takes the place of the model that the manifest names: it is that one, with earlier deltas in it.
    """
    opened, found = open_manifest(given, overrides)
    if opened is None or not opened.sound:
        raise EditcError(*found)
    return opened if model is None else replace(opened, target=Target(model.place, opened.manifest.model, model))


def open_decoded(manifest: Manifest, model: Model | None = None) -> OpenedManifest:
    """Combine a decoded manifest with its model, or with `model` in place of that.

    For a delta that records its manifest, `model` is the one that the delta is measured on.
    """
    if model is None:
        return OpenedManifest(manifest, (), _find_model(Path(manifest.source.name), manifest.model), kind_of(manifest))
    return OpenedManifest(manifest, (), Target(model.place, manifest.model, model), kind_of(manifest))


def _find_model(path: Path, name: str) -> Target:
    """The model `name`: looked for beside the manifest at `path` first, then where the command runs."""
    near_manifest = path.parent / name
    return Target(near_manifest if not Path(name).is_absolute() and near_manifest.exists() else name, name)


def _kind_of_model(target: Target) -> Any:
    """The kind of a model. None if it cannot be opened or no family fits."""
    try:
        return target.family.models if target.name else None
    except EditcError:  # reported when the model is opened for use
        return None
