"""Divide the rows of a data set into slices. A row's own texts decide its slice, so that no row moves when another is
removed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from editc.core.language_edits import PromptAnswer

KeyedRow = tuple[str, PromptAnswer]
"""The text that decides a row's slice, and the row."""


def slice_of(key: str, of: int) -> int:
    """The slice, from 1 to `of`, of a row with this key: its sha256 modulo `of`."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "big") % of + 1


def rows_sha256(rows: Iterable[PromptAnswer]) -> str:
    """sha256 over the texts of rows, in their order."""
    texts = "".join(f"{row.prompt}\0{row.answer}\0" for row in rows)
    return hashlib.sha256(texts.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Slices:
    """Some slices of a file."""

    numbers: tuple[int, ...]
    """Which, from 1."""
    of: int
    """How many the file has."""
    by: str | None = None
    """The key of a row whose value decides its slice. None: its texts do."""

    @property
    def part(self) -> str:
        """Their name, such as `2 of 4`."""
        return f"{', '.join(map(str, self.numbers))} of {self.of}" if self.of > 1 else ""

    def choose(self, rows: Sequence[KeyedRow]) -> tuple[PromptAnswer, ...]:
        """The rows of these slices, in the order of the file."""
        return tuple(row for key, row in rows if slice_of(key, self.of) in self.numbers)
