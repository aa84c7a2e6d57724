"""Stand-in methods, so that the golden cases of manifests do not change whenever a method gains an option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Uce:
    """Plain.

    lamb: ridge towards
        the old weights.
    """

    lamb: float | None = None
    technique: Literal["replace", "tensor"] = "replace"


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


TABLES = {
    "method": {"uce": "manifest_methods:Uce", "rece": "manifest_methods:Rece"},
    "family": {"sd1": "manifest_methods:Uce"},
    "format": {"safetensors": "manifest_methods:Uce", "kohya": "manifest_methods:Uce"},
    "detector": {"editc:demo": "manifest_methods:Uce"},
}
