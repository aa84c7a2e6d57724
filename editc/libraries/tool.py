"""The name of the program that made a delta."""

from __future__ import annotations


def tool() -> str:
    """This program and its version, as deltas record it."""
    from importlib.metadata import version

    return f"editc {version('editc')}"
