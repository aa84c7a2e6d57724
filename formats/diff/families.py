"""Find the family of a model on disk: by the names of its tensors, and by the model type in its config.json."""

from __future__ import annotations

from fnmatch import fnmatchcase

from editc.core.family import TEXT_ENCODER, Family
from editc.formats.models.fingerprint import settings_of
from editc.formats.models.model import Checkpoint, Model
from editc.registry.families import FAMILIES


def family_of(base: Model, component: str) -> Family | None:
    """The family of a component's tensors, as locate would find it; None where no family fits.

    A language model needs its config.json: without it nothing says how its matrices are stored.
    """
    part = base.component(component)
    every = [family for _, family in FAMILIES.each("image")]
    fitting = [family for family in every if _may_be(family, base, component) and _fits(family, part)]
    if not fitting and base.layout != "pipeline":
        fitting = [family for family in _language_families(base) if _fits(family, part)]
    return max(fitting, key=lambda family: len(family.patterns) + len(family.required_parameters), default=None)


def _may_be(family: Family, base: Model, component: str) -> bool:
    """True where a component may be what the family edits, by its name. One without a name is no text encoder, and the
    first of two text encoders is not that of Stable Diffusion 1 or 2."""
    if family.component != TEXT_ENCODER:
        return component in ("", family.component)
    return component == TEXT_ENCODER and not (base.path / f"{TEXT_ENCODER}_2").exists()


def role_of(name: str, family: Family | None) -> str:
    """The role of a tensor in its family; '' where it has none."""
    patterns = family.patterns if family else {}
    return next((role for role, pattern in patterns.items() if fnmatchcase(name, pattern)), "")


def _language_families(base: Model) -> list[Family]:
    """The families of language models that the model's config.json names."""
    settings = settings_of(base.path if base.layout == "folder" else base.path.parent)
    inner = settings.get("text_config")
    kind = inner.get("model_type") if isinstance(inner, dict) else settings.get("model_type")
    every = [family for _, family in FAMILIES.each("language")]
    return [family for family in every if kind in family.model_types]


def _fits(family: Family, part: Checkpoint) -> bool:
    """True where the component has the parameters of the family's roles and its signs, and the marker with its
    dimensions."""
    names = part.names()
    needed = (*family.patterns.values(), *family.required_parameters)
    if not all(any(fnmatchcase(name, pattern) for name in names) for pattern in needed):
        return False
    if family.marker is None:
        return True
    first = next((name for name in names if fnmatchcase(name, family.marker[0])), None)
    return first is not None and len(part.shape(first)) == family.marker[1]
