"""Packages that some commands need and a plain install leaves out: which are missing, and how they are installed."""

from __future__ import annotations

from importlib.util import find_spec


def missing(*packages: str) -> tuple[str, ...]:
    """Those of the packages that are not installed."""
    return tuple(name for name in packages if find_spec(name) is None)


def install(extra: str) -> str:
    """What to type for the extra of that name: editc is installed from its own folder, by its lock."""
    return f"in editc's folder: pip install -c constraints.txt '.[{extra}]'"
