"""Paths as `editc.api` takes them: text or `Path`, one or several, a delta or the folder of its build."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from editc.core.diagnostics import fail

PathLike: TypeAlias = str | os.PathLike[str]
"""One path."""
Paths: TypeAlias = PathLike | Iterable[PathLike]
"""One path or several."""
DELTA, REPORT, PAGE = "delta.safetensors", "report.json", "report.html"
"""The files that a build writes into its folder."""
LAST_GOOD = "last-good"
"""The subfolder for the delta of an earlier build after a later build failed."""


def as_paths(given: Paths) -> tuple[Path, ...]:
    """One path or several, as a tuple. A text is one path."""
    return (Path(given),) if isinstance(given, str | os.PathLike) else tuple(Path(one) for one in given)


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
