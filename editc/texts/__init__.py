"""The plain texts that come with editc: everyday prompts, ordinary text, the glossary, and names to ask a language
model about."""

from __future__ import annotations

from importlib.resources import files


def read_text(*path: str) -> str:
    """The text of a file of this folder, by its path."""
    return files("editc.texts").joinpath(*path).read_text(encoding="utf-8")


def read_lines(*path: str) -> tuple[str, ...]:
    """The lines of a file of this folder, without empty lines and comments (`#`)."""
    return tuple(line for line in read_text(*path).splitlines() if line and not line.startswith("#"))
