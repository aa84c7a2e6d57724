"""Names of published files. Only names that mean the same file on every system, and within the folder, are accepted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import accumulate
from pathlib import PurePosixPath

from editc.core.diagnostics import EditcError, fail

PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,126}[A-Za-z0-9_+-])?")
"""One part of a path: letters, digits and `._+-`, at most 128; no dot at either end."""
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names that Windows gives to devices, in every folder."""
DEEPEST = 6
"""How many parts a path has at most. Exports of editc have two."""


def check_name(name: object, place: str) -> str:
    """The name, if it is a path within the folder that every system can write. Raises E956 for one that leaves the
    folder and E957 for one with odd characters."""
    if not isinstance(name, str) or not name:
        raise _odd("a file has no name", place)
    shown = ascii(name)[:120]
    parts = re.split(r"[/\\]", name)
    if name[0] in "/\\" or ".." in parts or re.match(r"[A-Za-z]:", name):
        message = f"the file {shown} would be written outside of the folder"
        raise fail("E956", message, place=place, help="do not use this source: editc never publishes such a name")
    if len(parts) > DEEPEST or "\\" in name or not all(PART.fullmatch(part) for part in parts):
        raise _odd(f"the file {shown} has a name that not every system can write", place)
    if any(DEVICE.match(part) for part in parts):
        raise _odd(f"the file {shown} has the name of a device", place)
    return name


def check_names(names: Iterable[str], place: str) -> None:
    """Raises E957 where two names mean one file on some systems, or where a name is a file and a folder."""
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold() in seen:
            raise _odd(f"the files '{seen[name.casefold()]}' and '{name}' are one file on some systems", place)
        seen[name.casefold()] = name
    for name in seen.values():
        for folder in accumulate(PurePosixPath(name).parts[:-1], lambda one, other: f"{one}/{other}"):
            if folder.casefold() in seen:
                raise _odd(f"'{folder}' is a file, and a folder for '{name}'", place)


def _odd(message: str, place: str) -> EditcError:
    """E957 with its reason."""
    return fail("E957", message, place=place, help="use letters, digits, `.`, `_`, `+` and `-`, and no dot at an end")
