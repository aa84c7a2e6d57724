"""Where something stands in the text of a manifest, so that a diagnostic can underline it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

_NOWHERE: Mapping[str, Span] = MappingProxyType({})
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # YAML's own: lines are counted as its marks count them


@dataclass(frozen=True, order=True)
class Span:
    """A stretch of one source line: 1-based `line` and `column`, `length` in characters (at least 1)."""

    line: int
    column: int
    length: int = 1


@dataclass(frozen=True)
class Source:
    """A text that diagnostics point into: its name as the user typed it, and its characters.

    `overrides` are the `KEY=VALUE` of `--set`. They are counted as lines after the last one of the text, so that every
    Span of a manifest can be shown with its source, whether the value came from the file or from the command line.
    """

    name: str
    text: str
    overrides: tuple[str, ...] = ()

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The lines of the text, then one `--set KEY=VALUE` for each override."""
        return (*_LINE_BREAK.split(self.text), *(f"--set {override}" for override in self.overrides))

    def line(self, number: int) -> str:
        """Line `number` (1-based) without its line break; empty beyond the end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def is_override(self, span: Span) -> bool:
        """True if `span` stands in a `--set` and not in the file."""
        return span.line > len(self.lines) - len(self.overrides)


@dataclass(frozen=True, kw_only=True)
class ManifestBlock:
    """A manifest block that remembers where each of its fields stands; `""` is the block itself.

    `"concepts"` is a field's value, `"concepts.0"` an item of it, `"concepts:"` its key. A field that was given but
    could not be read has a place all the same.
    """

    spans: Mapping[str, Span] = field(default_factory=lambda: _NOWHERE, compare=False, repr=False)

    def at(self, name: str = "") -> Span | None:
        """The place of field `name`, else of the block, else None (for a value made in Python)."""
        return self.spans.get(name, self.spans.get(""))
