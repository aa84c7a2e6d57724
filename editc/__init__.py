"""A compiler for model editing: a manifest in, a small, exact, portable weight delta out.

`editc.api` has the verbs; each is here by its own name too: `editc.build("manifest.yaml", "out")`.
"""

from __future__ import annotations

from typing import Any

VERBS = (
    "apply",
    "build",
    "check",
    "diff",
    "doctor",
    "export",
    "inspect",
    "link",
    "make_lora_ready",
    "plan_apply",
    "revert",
    "status",
    "suggest",
    "verify",
)
"""Functions of `editc.api`."""
__all__ = [*VERBS, "__version__"]


def __getattr__(name: str) -> Any:
    """The verbs and the version, loaded when they are asked for: `import editc` alone loads nothing."""
    if name == "__version__":
        from importlib.metadata import version

        return version("editc")
    if name in VERBS:
        from importlib import import_module

        return getattr(import_module("editc.api"), name)
    raise AttributeError(f"module 'editc' has no attribute '{name}'")
