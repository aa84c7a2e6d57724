"""Check the ending of a file to be written. An ending by which editc would not recognise the file again is refused
(E697)."""

from __future__ import annotations

from pathlib import Path

from editc.core.diagnostics import fail
from editc.core.storage.disk import check_file
from editc.formats.containers.table import CONTAINERS, SAFETENSORS

_TELLING = frozenset(suffix for suffix, container in CONTAINERS.items() if not container.native)
"""Endings that tell the container. A file with any other ending is read as safetensors."""


def check_ending(out: Path, wanted: str, name: str) -> None:
    """Raise E697 if `out` lacks the ending by which programs recognise the format, or has the ending of another
    container.

    `wanted`: the usual ending of the format `name`; '' for a folder.
    """
    if out.suffix == wanted or not wanted or not _TELLING & {out.suffix, wanted}:
        return
    message, help_ = f"`{name}` is told by its ending {wanted}", f"name it {out.name}{wanted}"
    if wanted not in _TELLING:
        message = f"{out.suffix} is the ending of another kind of file than `{name}`"
        help_ = f"name it {out.stem}{wanted}"
    raise fail("E697", f"the result cannot be written there: {message}", place=str(out), help=help_)


def check_delta_file(out: Path) -> None:
    """Raise E697 unless a delta can be written at `out` and editc will recognise it there."""
    check_file(out)
    check_ending(out, SAFETENSORS, "delta")
