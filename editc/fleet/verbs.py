"""The functions of `editc.verbs` that a fleet calls, by their names: each is imported when a cell needs it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

PLACES: Mapping[str, str] = {
    "build": "editc.verbs.public:build",
    "apply": "editc.verbs.public:apply",
    "verify": "editc.verbs.public:verify",
    "attack": "editc.verbs.public:attack",
    "delta_at": "editc.verbs.paths:delta_at",
    "tool": "editc.libraries.tool:tool",
}
"""Name of a function -> `module:attribute`."""


def call(name: str, *given: Any, **named: Any) -> Any:
    """Call one of the functions in PLACES."""
    module, _, attribute = PLACES[name].partition(":")
    return getattr(import_module(module), attribute)(*given, **named)
