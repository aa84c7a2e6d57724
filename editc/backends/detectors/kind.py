"""The description of a kind of detector, which `editc check` can ask without opening a detector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from editc.core.image_check import DetectorOptions
from editc.core.ports import Detector


@dataclass(frozen=True)
class DetectorRequest:
    """What a manifest asks of a detector."""

    options: DetectorOptions = field(default_factory=DetectorOptions)
    """The detector's own keys in the manifest."""
    path: Path | None = None
    """The folder or file that they name, as a full path. None where they name none."""
    concepts: tuple[str, ...] = ()
    """The concepts that it must judge."""
    targets: tuple[str, ...] = ()
    """The targets of the edits, which a picture may show in place of a concept."""


@dataclass(frozen=True)
class DetectorFault:
    """One reason why a detector cannot be used, found before anything is opened."""

    code: str
    """The code of the diagnostic."""
    field: str
    """The key of the manifest to underline."""
    message: str
    """What is wrong."""
    help: str = ""
    """What to do. Empty where the message says it."""


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
    """What it is, in one line. `editc explain` prints it."""
    open: Callable[[DetectorRequest], Detector | None]
    """Opens the detector. Returns None for a kind that judges nothing. Raises EditcError where it cannot be opened."""
    place: str = ""
    """What stands after its name in a manifest, as messages call it, such as `FOLDER`. Empty where nothing does."""
    keys: tuple[str, ...] = ()
    """The keys that a manifest may write beside its name."""
    faults: Callable[[DetectorRequest], Iterable[DetectorFault]] = _nothing
    """Lists what is wrong with a request."""
    knows: Callable[[DetectorRequest], Callable[[str], bool]] = _anything
    """Returns a test of which concepts it can judge, as far as that is known before it is opened."""
    files: Callable[[DetectorRequest], Sequence[Path]] = _nothing
    """The files whose bytes decide its answers."""
    settings: Callable[[DetectorRequest], Mapping[str, Any]] = _no_settings
    """Everything else that decides its answers, as JSON values. Defaults are included."""
    runs_code: bool = False
    """True where opening it runs code that the manifest names."""
