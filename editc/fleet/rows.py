"""The cells of a plan with their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from editc.fleet.cells import Cell
from editc.fleet.results.store import STATES


@dataclass(frozen=True)
class Row:
    """A cell with its result."""

    cell: Cell
    """The cell."""
    record: Mapping[str, Any] | None
    """Its record (`worker`). None if there is none."""

    @property
    def status(self) -> str:
        """One of STATES."""
        return "waiting" if self.record is None else str(self.record["status"])

    @property
    def errors(self) -> tuple[Mapping[str, Any], ...]:
        """The errors by which it failed, as JSON."""
        found = self.record["diagnostics"] if self.record else ()
        return tuple(one for one in found if one.get("severity") == "error")

    @property
    def why(self) -> str:
        """The first error in one line, and how many more there are. Empty without an error."""
        if not self.errors:
            return ""
        first, more = self.errors[0], len(self.errors) - 1
        return f"{first['code']}: {first['message']}" + (f" (and {more} more)" if more else "")


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """How many cells there are in each state."""
    found = Counter(row.status for row in rows)
    return {state: found[state] for state in STATES}
