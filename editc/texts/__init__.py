"""The plain texts that ship with editc: everyday prompts, ordinary text, and names to ask a language model about."""

from __future__ import annotations

from importlib.resources import files


def read_text(*path: str) -> str:
    """One of the files of this folder, by its path in it."""
    return files("editc.texts").joinpath(*path).read_text(encoding="utf-8")


def read_lines(*path: str) -> tuple[str, ...]:
    """The lines of one of them, without empty ones and without comments (`#`)."""
    return tuple(line for line in read_text(*path).splitlines() if line and not line.startswith("#"))
