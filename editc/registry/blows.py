"""The blows of the suites for language models."""

from __future__ import annotations

from editc.registry.table import Table

_PACKAGE = "editc.passes.language.suite.blows"
BLOWS = Table(
    "blow",
    {"language": {name: f"{_PACKAGE}.{name}:BLOW" for name in ("relearn", "rounding", "probes")}},
    lambda blow: "language",
    needs=("summary", "strike"),
)
"""Name of a blow -> its `Blow`: one file of the package, or of a plugin."""
