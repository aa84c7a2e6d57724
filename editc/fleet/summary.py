"""All cells of a plan in one JSON file, and in one page (`page`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from editc.core.storage.disk import replace_file
from editc.fleet.cells import Cell
from editc.fleet.page import as_html
from editc.fleet.results.store import ALL, Store
from editc.fleet.rows import Row, counts

PAGE = "fleet.html"
"""The page of all cells."""


def write_summary(cells: Sequence[Cell], store: Store, verb: str) -> tuple[tuple[Row, ...], tuple[Path, ...]]:
    """Write both files; returns the rows that they show and the files.

    Jobs that run parts of one plan write the same files. Each looks again after it has written, so that whoever writes
    last has seen every result.
    """
    while True:
        rows = _rows(cells, store)
        replace_file(store.folder / ALL, as_text(as_json(rows, store, verb)).encode())
        replace_file(store.folder / PAGE, as_html(rows, store, verb).encode())
        if [row.status for row in rows] == [row.status for row in _rows(cells, store)]:
            return rows, (store.folder / ALL, store.folder / PAGE)


def as_json(rows: Sequence[Row], store: Store, verb: str) -> dict[str, Any]:
    """All cells as plain JSON values."""
    return {"fleet": 1, "do": verb, "counts": counts(rows), "cells": [_record(row, store) for row in rows]}


def as_text(record: Mapping[str, Any]) -> str:
    """Canonical JSON: sorted keys, an indent of one, a line break at the end."""
    return json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def _rows(cells: Sequence[Cell], store: Store) -> tuple[Row, ...]:
    """The cells with their results as they are now."""
    return tuple(Row(cell, store.result(cell.name)) for cell in cells)


def _record(row: Row, store: Store) -> dict[str, Any]:
    """A cell as JSON: its record, and its folder where that has files."""
    folder = store.of(row.cell.name).relative_to(store.folder).as_posix()
    names = {"input": row.cell.input_name, "model": row.cell.model_name}
    if row.record is None:
        return {"name": row.cell.name, "status": row.status, "folder": folder, **names}
    return {
        **row.record,
        "folder": folder,
        "input": {**row.record["input"], "name": names["input"]},
        "model": {**row.record["model"], "name": names["model"]},
    }
