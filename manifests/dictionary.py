"""Read a dictionary: a text file of names to compare a concept with, one a line."""

from __future__ import annotations

from pathlib import Path

from editc.core.diagnostics import fail


def read_names(path: Path) -> tuple[str, ...]:
    """The names in a dictionary file, each once; lines that begin with `#` are left out. Raises E170 if the file cannot
    be read or has none."""
    help_ = "a dictionary is a UTF-8 text file with one name a line"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise fail("E170", f"cannot read the dictionary: {why}", place=str(path), help=help_) from error
    names = tuple(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip() and line[0] != "#"))
    if not names:
        raise fail("E170", "the dictionary holds no name", place=str(path), help=help_)
    return names
