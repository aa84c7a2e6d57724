"""The model that edits are for: opened, read by its header and recognised, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from editc.core.diagnostics import EditcError
from editc.core.family import Family
from editc.core.ports import Context
from editc.formats.models.fingerprint import settings_of
from editc.formats.models.model import Model, open_model
from editc.registry.families import FAMILIES

COMPONENTS = ("unet", "transformer", "prior", "decoder")
"""What a pipeline calls the part that reads the text, in the order in which one with several is looked at."""
USUAL_KINDS: Mapping[str, tuple[str, ...]] = {"pipeline": ("image",), "folder": ("language",)}
"""What kind of model lies on disk so, as a rule."""
OWN_CORPUS = "prompts.txt"
"""In a model's folder, the prompts that are preserved by default."""


@dataclass(frozen=True)
class Target:
    """The model that edits are for. Each property does its work once; what it raises has no place in a manifest yet."""

    place: Path | str
    """Where it is."""
    name: str
    """As the manifest calls it."""
    given: Model | None = None
    """The model itself, where it is open already."""

    @cached_property
    def model(self) -> Model:
        """The model, opened. Raises E610 to E619."""
        return open_model(self.place) if self.given is None else self.given

    @cached_property
    def header(self) -> Context:
        """Ports for what needs headers only: no torch. E617 for a damaged config.json."""
        weights = self.model.component(component_of(self.model))
        return Context(weights, settings=language_settings(self.model))

    @cached_property
    def family(self) -> Family:
        """The family whose names these weights have. Raises E201 and E206."""
        from editc.passes.locate import recognise

        asked = self.header.weights, self.name, self.header.settings
        try:  # USUAL holds nearly always, and then the families of the other kind need not be loaded
            return recognise(families(*USUAL_KINDS.get(self.model.layout, ())), *asked)
        except EditcError:
            return recognise(families(), *asked)


def component_of(model: Model) -> str:
    """The component that is edited: the first of COMPONENTS that the model has."""
    return next((name for name in COMPONENTS if name in model.components), COMPONENTS[0])


def language_settings(model: Model) -> Mapping[str, Any]:
    """The config.json of a language model's folder; {} for a pipeline or a file. Raises E617 for a damaged one."""
    return settings_of(model.path) if model.layout == "folder" else {}


def families(*kinds: str) -> tuple[Family, ...]:
    """Every family of these kinds of models, of all where none is named, in the order of their names."""
    return tuple(family for kind in kinds or ("image", "language") for _, family in FAMILIES.each(kind))


def corpus_of(model: Model) -> tuple[str, ...]:
    """Prompts to keep where a manifest names none: `prompts.txt` in the model's folder, else everyday prompts."""
    from editc.texts import read_text

    own = model.path / OWN_CORPUS
    text = own.read_text(encoding="utf-8") if own.is_file() else read_text("everyday.txt")
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
