"""Paths as `editc.api` takes them: text or `Path`, one or several, a delta or the folder of its build; and manifests,
which may be texts and dicts too."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from editc.core.diagnostics import fail
from editc.core.places import Source
from editc.report import DELTA as DELTA
from editc.report import PAGE as PAGE
from editc.report import REPORT as REPORT

PathLike: TypeAlias = str | os.PathLike[str]
"""One path."""
Paths: TypeAlias = PathLike | Iterable[PathLike]
"""One path or several."""
ManifestLike: TypeAlias = PathLike | Mapping[str, Any]
"""A manifest: its path, its text, or a dict of its keys."""
TEXT, DICT = "<text>", "<dict>"
"""What messages call a manifest that is no file. Names in it are relative to the folder in which Python runs."""
LAST_GOOD = "last-good"
"""The subfolder for the delta of an earlier build after a later build failed."""


def as_paths(given: Paths) -> tuple[Path, ...]:
    """One path or several, as a tuple. A text is one path."""
    return (Path(given),) if isinstance(given, str | os.PathLike) else tuple(Path(one) for one in given)


def manifest_at(given: ManifestLike) -> Path | Source:
    """The path of a manifest, or its text.

    A dict becomes YAML. A `str` that has a line break, or begins with `{`, is the text of a manifest; any other `str`
    is a path, and a `Path` always is. Raises E101 for a dict that no manifest can be.
    """
    if isinstance(given, Mapping):
        from editc.manifests.dump import manifest_text

        return Source(DICT, manifest_text(given))
    if isinstance(given, str) and ("\n" in given or given.lstrip().startswith("{")):
        return Source(TEXT, given)
    return Path(given)


def delta_at(place: PathLike) -> Path:
    """The delta at a path. For the folder of a build, the delta in it. Raises E699 if that build wrote none."""
    path = Path(place)
    if not (path / REPORT).is_file():
        return path
    if (path / DELTA).is_file():
        return path / DELTA
    good = path / LAST_GOOD / DELTA
    help_text = f"the last good one is {good}" if good.is_file() else "report.html says which constraint is not met"
    raise fail("E699", "the build in this folder failed and left no delta", place=str(path), help=help_text)


def deltas_at(given: Paths) -> tuple[Path, ...]:
    """The deltas at one path or several, each as `delta_at` finds it."""
    return tuple(delta_at(one) for one in as_paths(given))
