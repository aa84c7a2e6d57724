"""Packages that only some commands need: which are missing, and how to install them."""

from __future__ import annotations

from importlib.util import find_spec

from editc.core.diagnostics import fail


def missing_packages(*packages: str) -> tuple[str, ...]:
    """Those of the packages that are not installed."""
    return tuple(name for name in packages if find_spec(name) is None)


def install_command(extra: str) -> str:
    """What to type to install an extra. editc is installed from its own folder, with the versions of its lock file."""
    return f"in editc's folder: pip install -c constraints.txt '.[{extra}]'"


def require_build(*needed: str) -> None:
    """Raises E207 when packages that a build needs are not installed. apply, revert, status and inspect work without
    them."""
    absent = missing_packages(*(needed or ("torch", "transformers", "diffusers", "scipy")))
    if absent:
        message = f"a build needs {', '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} not installed"
        raise fail("E207", message, help=install_command("build"))
