"""The kinds of models, and the one that a manifest is for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from editc.core.manifest import Manifest
from editc.verbs.kind import ModelKind

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
