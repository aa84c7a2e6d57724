"""What made a delta."""

from __future__ import annotations


def tool() -> str:
    """This program and its version, as deltas name it."""
    from importlib.metadata import version

    return f"editc {version('editc')}"
