"""A compiler for model editing: it turns a manifest into a small, exact and portable change of weights, a delta.

`editc.api` has the functions. Each is available here as well: `editc.build("manifest.yaml", "out")`.
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
    "list_names",
    "link",
    "load",
    "make_lora_ready",
    "manifest_schema",
    "plan_apply",
    "pull",
    "push",
    "revert",
    "run_fleet",
    "sbom",
    "sign",
    "status",
    "suggest",
    "verify",
    "verify_signature",
    "write_card",
)
"""The functions of `editc.api` that are available here."""
__all__ = [*VERBS, "__version__"]


def __getattr__(name: str) -> Any:
    """Load a function or the version when it is first asked for, so that `import editc` alone loads nothing.

    Raises AttributeError for any other name.
    """
    if name == "__version__":
        from importlib.metadata import version

        return version("editc")
    if name in VERBS:
        from importlib import import_module

        return getattr(import_module("editc.api"), name)
    raise AttributeError(f"module 'editc' has no attribute '{name}'")
