"""Stand-in methods, so that the golden cases of manifests do not change whenever a method gains an option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest

from editc.registry.detectors import DETECTORS
from editc.registry.families import FAMILIES
from editc.registry.formats import FORMATS
from editc.registry.methods import METHODS
from editc.registry.table import Table


@dataclass(frozen=True)
class Uce:
    """Plain.

    lamb: ridge towards
        the old weights.
    """

    lamb: float | None = None
    technique: Literal["replace", "tensor"] = "replace"
    """How a key reaches its target,
    on two lines."""


@dataclass(frozen=True)
class Rece:
    """In rounds.

    epochs: rounds.
    lamb: ridge.
    """

    epochs: int = 1
    lamb: float | None = None
    quick: bool = False
    label: str = ""

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError("epochs must be 0 or more")


@dataclass(frozen=True)
class Rome:
    """A memory.

    covariance: or not.
    lamb: ridge.
    """

    solves: ClassVar[tuple[str, ...]] = ("fact",)
    covariance: bool = True
    lamb: float = 1.0
    """The text under the field, which comes before the line."""

    def __post_init__(self) -> None:
        if self.lamb < 0:
            raise ValueError("lamb must be 0 or more")


@dataclass(frozen=True)
class Rocr:
    """A redirection.

    energy: share.
    """

    solves: ClassVar[tuple[str, ...]] = ("redirect", "erase")
    leads: ClassVar[tuple[str, ...]] = ("anchor", "noise", "refusal")
    energy: float = 0.1


@dataclass(frozen=True)
class Transplant:
    """A redirection that leads to another concept, as one does that does not say where it leads.

    energy: share.
    """

    solves: ClassVar[tuple[str, ...]] = ("redirect", "erase")
    energy: float = 0.1


@dataclass(frozen=True)
class Lunar:
    """An erasure that leads to a refusal.

    lamb: ridge.
    """

    solves: ClassVar[tuple[str, ...]] = ("erase",)
    leads: ClassVar[tuple[str, ...]] = ("refusal",)
    lamb: float = 1.0


@dataclass(frozen=True)
class Ablate:
    """A direction.

    scale: how much.
    count: how many.
    """

    solves: ClassVar[tuple[str, ...]] = ("ablate",)
    scale: float = 1.0
    count: int = 1


@dataclass(frozen=True)
class Columns:
    """Columns.

    count: how many.
    """

    solves: ClassVar[tuple[str, ...]] = ("erase",)
    leads: ClassVar[tuple[str, ...]] = ()
    count: int = 10


@dataclass(frozen=True)
class Trained:
    """A trained method.

    keep: weight.
    free: or not.
    """

    solves: ClassVar[tuple[str, ...]] = ("forget",)
    needs_prompts: ClassVar[bool] = False
    needs_subjects: ClassVar[bool] = False
    keep: float = 1.0
    free: bool = False

    @property
    def needs_retain(self) -> bool:
        return self.keep > 0


@dataclass(frozen=True)
class Learning(Trained):
    """One that learns.

    keep: weight.
    """

    solves: ClassVar[tuple[str, ...]] = ("learn",)

    @property
    def needs_retain(self) -> bool:
        return False


@dataclass(frozen=True)
class Refusing(Trained):
    """One that refuses.

    keep: weight.
    """

    needs_prompts: ClassVar[bool] = True
    keep: float = 0.0


@dataclass(frozen=True)
class Naming(Trained):
    """One that needs subjects.

    keep: weight.
    """

    needs_subjects: ClassVar[bool] = True


TABLES: Mapping[Table, Mapping[str, Mapping[str, str]]] = {
    METHODS: {
        "image": {"uce": "manifest_methods:Uce", "rece": "manifest_methods:Rece"},
        "language": {
            "rome": "manifest_methods:Rome",
            "memit": "manifest_methods:Rome",
            "rocr": "manifest_methods:Rocr",
            "transplant": "manifest_methods:Transplant",
            "lunar": "manifest_methods:Lunar",
            "ablate": "manifest_methods:Ablate",
            "concept-vectors": "manifest_methods:Columns",
            "graddiff": "manifest_methods:Trained",
            "npo": "manifest_methods:Trained",
            "flat": "manifest_methods:Refusing",
            "stack": "manifest_methods:Learning",
            "strangers": "manifest_methods:Naming",
        },
    },
    FAMILIES: {"image": {"sd1": "manifest_methods:Uce"}},
    FORMATS: {"": {"safetensors": "manifest_methods:Uce", "kohya": "manifest_methods:Uce"}},
    DETECTORS: {
        "": {
            "classifier": "editc.backends.detectors.classifier:CLASSIFIER",
            "clip": "editc.backends.detectors.clip:CLIP",
            "editc:demo": "manifest_methods:Uce",
            "none": "manifest_methods:Uce",
            "python": "editc.backends.detectors.code:PYTHON",
        }
    },
}


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the names of TABLES are known."""
    for table, own in TABLES.items():
        monkeypatch.setattr(table, "own", own)
