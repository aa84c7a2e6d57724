"""The model that the edits are for: it is opened, read by its header and recognised once each. And the texts in its
folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from editc.core.diagnostics import EditcError, fail
from editc.core.family import TEXT_ENCODER, Family
from editc.core.ports import Context
from editc.formats.models.model import Model, open_model
from editc.registry.families import FAMILIES

COMPONENTS = ("unet", "transformer", "prior", "decoder")
"""What pipelines call the part that reads the text. Of several, the first in this order is edited."""
USUAL_KINDS: Mapping[str, tuple[str, ...]] = {"pipeline": ("image",), "folder": ("language",)}
"""Layout of a model on disk -> the kinds of model that usually have it."""
OWN_CONTEXTS = "contexts.txt"
"""A file in a model's folder: its own sentences, one a line, each with one `{}` for a concept."""


@dataclass(frozen=True)
class Target:
    """The model that the edits are for. Each property does its work once. What it raises has no place in a manifest
    yet."""

    place: Path | str
    """Where the model is."""
    name: str
    """What the manifest calls it."""
    given: Model | None = None
    """The model, where it is open already. Else None."""

    @cached_property
    def model(self) -> Model:
        """The opened model. Raises E610 to E619."""
        return open_model(self.place) if self.given is None else self.given

    @cached_property
    def header(self) -> Context:
        """A context with what the headers hold, made without torch. Raises E617 for a damaged config.json."""
        weights = self.model.component(component_of(self.model))
        return Context(weights, settings=language_settings(self.model))

    @cached_property
    def family(self) -> Family:
        """The family whose parameter names these weights have. Raises E201 and E206."""
        from editc.passes.locate import recognise

        asked = self.header.weights, self.name, self.header.settings
        try:  # nearly always the usual kind is right, and the families of the other kind are not loaded
            return recognise(families(*USUAL_KINDS.get(self.model.layout, ())), *asked)
        except EditcError:
            return recognise(families(), *asked)


def component_of(model: Model) -> str:
    """The component that is edited: the first of COMPONENTS that the model has."""
    return next((name for name in COMPONENTS if name in model.components), COMPONENTS[0])


def language_settings(model: Model) -> Mapping[str, Any]:
    """The config.json of a language model's folder; {} for a pipeline or a file. Raises E617 for a damaged one."""
    if model.layout != "folder":
        return {}
    from editc.formats.models.fingerprint import settings_of

    return settings_of(model.path)


def families(*kinds: str) -> tuple[Family, ...]:
    """All families of these kinds of model, or of every kind where none is given, by name. Without those of text
    encoders: a model is recognised by the part that reads the text."""
    every = (family for kind in kinds or ("image", "language") for _, family in FAMILIES.each(kind))
    return tuple(family for family in every if family.component != TEXT_ENCODER)


def read_own_contexts(folder: Path) -> tuple[str, ...]:
    """The sentences in a model's folder, without lines that begin with `#`. () if `folder` is a file, or has no such
    file in it.

    Raises E146 if the file cannot be read, has no sentence, or has a line without exactly one `{}`.
    """
    path = folder / OWN_CONTEXTS
    if not path.is_file():
        return ()
    help_ = "one sentence a line, each with one `{}`, as in `a photo of a {}`; or remove the file"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise fail("E146", f"cannot read the model's own contexts: {why}", place=str(path), help=help_) from error
    found = tuple(dict.fromkeys(line for line in lines if line.strip() and line[0] != "#"))
    wrong = next((line for line in found if line.count("{}") != 1), None)
    if wrong is not None or not found:
        what = "the file has none" if wrong is None else f"`{wrong[:60]}` has {wrong.count('{}')} places for a concept"
        raise fail(
            "E146", f"the model's own contexts must be sentences with one `{{}}`: {what}", place=str(path), help=help_
        )
    return found
