"""What a detector is before it is opened: what it takes, what it knows, and which files decide what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from editc.core.manifest import DetectorOptions
from editc.core.ports import Detector


@dataclass(frozen=True)
class DetectorRequest:
    """What a manifest asks of a detector."""

    options: DetectorOptions = field(default_factory=DetectorOptions)
    """The words of the manifest."""
    path: Path | None = None
    """The folder or file that they name; None where they name none."""
    concepts: tuple[str, ...] = ()
    """What it is to judge."""
    targets: tuple[str, ...] = ()
    """What the edits put in a concept's place: a picture may show that instead."""


@dataclass(frozen=True)
class DetectorFault:
    """Why a detector cannot be had, found before anything is opened."""

    code: str
    """The code of the diagnostic."""
    field: str
    """The manifest's key to underline."""
    message: str
    """What is wrong."""
    help: str = ""
    """What to do. Empty: the message says it."""


def _nothing(request: DetectorRequest) -> tuple[()]:
    return ()


def _anything(request: DetectorRequest) -> Callable[[str], bool]:
    return lambda concept: True


def _no_settings(request: DetectorRequest) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class DetectorKind:
    """One kind of detector. Only `open` may import torch: `editc check` asks all the others."""

    says: str
    """What it is, in one line."""
    open: Callable[[DetectorRequest], Detector | None]
    """The detector itself; None for one that judges nothing. EditcError where it cannot be had."""
    place: str = ""
    """What stands after its name in a manifest, as messages call it (`FOLDER`); empty: nothing does."""
    keys: tuple[str, ...] = ()
    """The keys that may stand beside its name."""
    faults: Callable[[DetectorRequest], Iterable[DetectorFault]] = _nothing
    """What is wrong with what a manifest asks."""
    knows: Callable[[DetectorRequest], Callable[[str], bool]] = _anything
    """Which concepts it can judge, as far as that is known before it is opened."""
    files: Callable[[DetectorRequest], Sequence[Path]] = _nothing
    """The files whose bytes decide what it says."""
    settings: Callable[[DetectorRequest], Mapping[str, Any]] = _no_settings
    """What else decides that, as JSON values, with what was made where the manifest says nothing."""
    runs_code: bool = False
    """True where opening it runs code that the manifest names."""
