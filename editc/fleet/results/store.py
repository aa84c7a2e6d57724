"""The folder of a fleet: one folder for each cell, in which `cell.json` alone says that the cell has a result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editc.core.storage import disk

STATES = ("done", "failed", "waiting")
"""What a cell can be: it has a good result, a bad one, or none."""
ALL = "fleet.json"
"""The file with all cells."""
RECORD = "cell.json"
"""The file with a cell's result. It is written last, and whole or not at all."""
STARTS = "starts"
"""The file with a line for each time that the cell was begun."""
MODEL = "model"
"""What the edited model of a cell is called, with the ending of the file if it is one."""


@dataclass(frozen=True)
class Store:
    """The folder of a fleet."""

    folder: Path
    """Where it lies: a place that every machine of the fleet sees under the same path."""

    def of(self, name: str) -> Path:
        """The folder of a cell, by its name. The first characters are enough to tell cells apart."""
        return self.folder / "cells" / name[:24]

    def result(self, name: str) -> Mapping[str, Any] | None:
        """The record of a cell. None if it has none yet, or one that is damaged."""
        with suppress(OSError, ValueError):
            found = json.loads((self.of(name) / RECORD).read_text(encoding="utf-8"))
            if isinstance(found, dict) and found.get("name") == name:
                return found
        return None

    def starts(self, name: str) -> int:
        """How often a cell was begun."""
        try:
            return len((self.of(name) / STARTS).read_text(encoding="utf-8").splitlines())
        except OSError:
            return 0

    @contextmanager
    def begin(self, name: str, who: str) -> Iterator[Path]:
        """The empty folder of a cell, which no other worker has meanwhile. A worker that finds a result must leave it:
        see `result`."""
        folder = self.of(name)
        folder.mkdir(parents=True, exist_ok=True)
        with disk.wait_for_lock(folder):
            if self.result(name) is None:
                _clear(folder)
                with (folder / STARTS).open("a", encoding="utf-8") as file:
                    file.write(f"{who}\n")
            yield folder

    def finish(self, name: str, record: Mapping[str, Any]) -> None:
        """Write the record of a cell: from now on it is done."""
        text = json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
        disk.replace_file(self.of(name) / RECORD, text.encode("utf-8", "replace"))

    def forget(self, name: str) -> None:
        """Remove the record of a cell, so that it is done again."""
        disk.remove_file(self.of(name) / RECORD)


def _clear(folder: Path) -> None:
    """Remove what a worker that was killed left in a cell's folder."""
    for path in folder.iterdir():
        if path.name != STARTS:
            disk.clear(path)
