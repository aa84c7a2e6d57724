"""Where things stand in the text of a manifest, so that a diagnostic can underline them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

_NOWHERE: Mapping[str, Span] = MappingProxyType({})
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML counts as a line break

Scalar: TypeAlias = str | int | float | bool
"""What an option of a method can be."""


@dataclass(frozen=True, order=True)
class Span:
    """A stretch of one line of a source text."""

    line: int
    """The line, counted from 1."""
    column: int
    """The column of its first character, counted from 1."""
    length: int = 1
    """How many characters, at least 1."""


@dataclass(frozen=True)
class Source:
    """A text that diagnostics point into."""

    name: str
    """The name of the file, as the user typed it."""
    text: str
    """Its characters."""
    overrides: tuple[str, ...] = ()
    """The `KEY=VALUE` of each `--set`. They count as lines after the last line of the text, so that every span of a
    manifest can be shown, whether the value came from the file or from the command line."""

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The lines of the text, then one `--set KEY=VALUE` for each override."""
        return (*_LINE_BREAK.split(self.text), *(f"--set {override}" for override in self.overrides))

    def line(self, number: int) -> str:
        """The line of this number, counted from 1, without its line break. Empty beyond the end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def is_override(self, span: Span) -> bool:
        """True if `span` lies in a `--set` and not in the file."""
        return span.line > len(self.lines) - len(self.overrides)


@dataclass(frozen=True, kw_only=True)
class ManifestBlock:
    """A block of a manifest that remembers where each of its fields stands."""

    spans: Mapping[str, Span] = field(default_factory=lambda: _NOWHERE, compare=False, repr=False)
    """Where each field stands. `"concepts"` is the value of a field, `"concepts.0"` an item of it, `"concepts:"` its
    key, `""` the block itself. A field that was given but could not be read is here too. Empty for a block that was
    made in Python."""

    def at(self, name: str = "") -> Span | None:
        """The place of the field `name`, else of the block. None for a block that was made in Python."""
        return self.spans.get(name, self.spans.get(""))
