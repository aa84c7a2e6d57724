"""A manifest and its model, each opened, read and recognised once, whatever is then done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from editc.core.diagnostics import Diagnostic, EditcError, fail
from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.pointing import pointing_at
from editc.core.ports import Context
from editc.formats.models.fingerprint import settings_of
from editc.formats.models.model import Model, open_model
from editc.libraries import extras
from editc.registry.families import FAMILIES
from editc.texts import read_text
from editc.verbs.kind import Kind, kind_of

COMPONENTS = ("unet", "transformer", "prior", "decoder")
"""What a pipeline calls the part that reads the text, in the order in which one with several is looked at."""
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

        return recognise(families(), self.header.weights, self.name, self.header.settings)


@dataclass(frozen=True)
class Opened:
    """A manifest with its model. What the properties raise underlines `model` in the manifest."""

    manifest: Manifest
    """What could be read of it; `found` says whether it is sound."""
    found: tuple[Diagnostic, ...]
    """Errors and warnings of the manifest itself, in the order of its lines."""
    target: Target
    """The model that it names."""

    @property
    def sound(self) -> bool:
        """True where the manifest has no error."""
        return not any(one.is_error for one in self.found)

    @property
    def kind(self) -> Kind:
        """The kind of model that the manifest is for."""
        return kind_of(self.manifest)

    @property
    def model(self) -> Model:
        """The model, opened."""
        with pointing_at(self.manifest, "model"):
            return self.target.model

    @cached_property
    def header(self) -> Context:
        """Ports for what needs headers only, with the model's own sentences. E146 where these cannot be read."""
        with pointing_at(self.manifest, "model"):
            contexts = self.kind.contexts(self.target.model.path)
            return replace(self.target.header, contexts=contexts)

    @cached_property
    def recognised(self) -> Context:
        """`header` with the model's family."""
        header = self.header
        with pointing_at(self.manifest, "model"):
            return replace(header, family=self.target.family)


def open_manifest(path: Path, overrides: Sequence[str] = ()) -> tuple[Opened | None, tuple[Diagnostic, ...]]:
    """The manifest in a file with its model, None where nothing of it can be read; and what was found in the manifest.

    One of `erase` alone does not say for which kind of model it is: the model's header does. A model that cannot be
    opened is no error here: whoever asks `Opened` for it is told. Raises E100 where the file cannot be read.
    """
    from editc.manifests.decode import draft_of, parse_file

    parsed = parse_file(path, overrides)
    target = _target(path, parsed.model)
    kind = parsed.kind or _said_by(target)
    manifest, found = draft_of(parsed, path.parent, kind)
    if manifest is None:
        return None, found
    target = target if manifest.model == parsed.model else _target(path, manifest.model)
    return Opened(manifest, found, target), found


def require_manifest(path: Path, overrides: Sequence[str] = ()) -> Opened:
    """`open_manifest` of one without an error. Raises EditcError with all that was found where there is one."""
    opened, found = open_manifest(path, overrides)
    if opened is None or not opened.sound:
        raise EditcError(*found)
    return opened


def open_for(manifest: Manifest, model: Model | None = None) -> Opened:
    """A manifest that was decoded already, with the model that it names, or with `model`: for a delta that records its
    manifest, the one that the delta is measured on."""
    if model is None:
        return Opened(manifest, (), _target(Path(manifest.source.name), manifest.model))
    return Opened(manifest, (), Target(model.place, manifest.model, model))


def _target(path: Path, name: str) -> Target:
    """The model of that name: relative to the manifest first, then to where the command runs."""
    beside = path.parent / name
    return Target(beside if not Path(name).is_absolute() and beside.exists() else name, name)


def _said_by(target: Target) -> Any:
    """The kind of a model, None where it cannot be opened or is of no family."""
    try:
        return target.family.models if target.name else None
    except EditcError:  # whoever opens it next says so
        return None


def component_of(model: Model) -> str:
    """The component that is edited: the first of COMPONENTS that the model has."""
    return next((name for name in COMPONENTS if name in model.components), COMPONENTS[0])


def language_settings(model: Model) -> Mapping[str, Any]:
    """The config.json of a language model's folder; {} for a pipeline or a file. Raises E617 for a damaged one."""
    return settings_of(model.path) if model.kind == "folder" else {}


def families() -> tuple[Family, ...]:
    """Every family, in the order of their names, those of language models last."""
    return tuple(FAMILIES.resolve(name) for kind in ("image", "language") for name in FAMILIES.names(kind))


def corpus_of(model: Model) -> tuple[str, ...]:
    """Prompts to keep where a manifest names none: `prompts.txt` in the model's folder, else everyday prompts."""
    own = model.path / OWN_CORPUS
    text = own.read_text(encoding="utf-8") if own.is_file() else read_text("everyday.txt")
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def require_build(*needed: str) -> None:
    """Raises E207 when what a build needs is not installed: apply, revert, status and inspect do without."""
    absent = extras.missing(*(needed or ("torch", "transformers", "diffusers", "scipy")))
    if absent:
        message = f"a build needs {', '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} not installed"
        raise fail("E207", message, help=extras.install("build"))
