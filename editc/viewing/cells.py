"""The cells of a fleet, as fleet.json has them: what each came to, worst first, and what its page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editc.core.diagnostics import EditcError
from editc.core.verdict import QUESTIONS
from editc.fleet.results.store import ALL, STATES, Store
from editc.viewing.subject import Subject, bare_record, open_subject, read_json, refuse_odd_values

CELLS = "cells"
"""The folder of the cells' pages."""
ORDER = ("failed", "red", "amber", "green", "done", "plain", "waiting")
"""What a cell comes to, worst first: it failed; the worst line of its verdict; it is done and has no verdict."""
_NAME = re.compile(r"[0-9a-f]{24,64}")
"""The name of a cell."""


@dataclass(frozen=True)
class CellRow:
    """One cell of a fleet."""

    name: str
    """Its name: a hash."""
    input: str
    """The manifest or the delta, as the plan names it."""
    model: str
    """The model, as the plan names it."""
    state: str
    """One of ORDER."""
    lights: tuple[tuple[str, str], ...]
    """Each line of the verdict, without its question mark, with its state. Empty without a verdict."""
    why: str
    """The first error, or the first reason for a state that is not green. Empty where all is well."""
    seconds: float | None
    """How long it ran. None if it has not run."""
    record: Mapping[str, Any]
    """The cell in fleet.json."""

    @property
    def place(self) -> str:
        """The address of its page."""
        return f"{CELLS}/{self.name[:24]}.html"

    @property
    def shown(self) -> bool:
        """True where it has a page: it has run."""
        return self.state != "waiting"


@dataclass(frozen=True)
class FleetRecord:
    """A fleet on disk."""

    store: Store
    """Its folder."""
    verb: str
    """What its cells do."""
    counts: Mapping[str, int]
    """State of a cell (`STATES`) -> how many."""
    cells: tuple[CellRow, ...]
    """The cells, worst first."""

    def cell(self, name: str) -> CellRow | None:
        """The cell whose page has this name, if it has one."""
        return next((one for one in self.cells if one.name[:24] == name and one.shown), None)


def read_fleet(folder: Path) -> FleetRecord:
    """Read fleet.json. Raises E971 where `editc fleet` did not write it."""
    record = read_json(folder / ALL)
    with refuse_odd_values(folder / ALL):
        cells = sorted(map(_row, record["cells"]), key=_harm)
        counts = {state: int(record["counts"][state]) for state in STATES}
        return FleetRecord(Store(folder), str(record["do"]), counts, tuple(cells))


def cell_subject(fleet: FleetRecord, cell: CellRow, model: str = "") -> Subject:
    """What the page of a cell shows: its build, or what fleet.json says of it."""
    folder, named = fleet.store.of(cell.name), model or cell.model
    try:
        return open_subject(folder, model)
    except EditcError:  # no build lies there, or a damaged one
        with refuse_odd_values(fleet.store.folder / ALL):
            return Subject(folder, _record_of(cell), False, model=named)


def _harm(cell: CellRow) -> tuple[int, list[tuple[str, int]], list[tuple[str, int]]]:
    """Sort key: worst first, then by the names, in which 9 stands before 10."""
    names = (
        [(part, 0) if index % 2 == 0 else ("", int(part)) for index, part in enumerate(re.split(r"(\d{1,18})", name))]
        for name in (cell.input, cell.model)
    )
    first, second = names
    return ORDER.index(cell.state), first, second


def _record_of(cell: CellRow) -> dict[str, Any]:
    """What fleet.json says of a cell, as a record for its page."""
    result = cell.record.get("result") or {}
    verdicts = _verdicts(result)
    record = bare_record(
        claims=result.get("claims", ()),
        model=cell.model,
        tool=str(cell.record.get("tool", "")),
        family={"name": "", "title": cell.input},
        delta_id=str(result.get("delta_id", "")),
        diagnostics=cell.record.get("diagnostics", ()),
    )
    plain = {name: value for name, value in result.items() if isinstance(value, str | float | int) and value != ""}
    record |= {"facts": plain | {"seconds": cell.seconds}}
    record |= {"attacks": result["attacks"]} if result.get("attacks") else {}
    return record | ({"verdict": verdicts[0]} if verdicts else {})


def _row(record: Mapping[str, Any]) -> CellRow:
    """One entry of `cells` of fleet.json."""
    name = str(record["name"])
    if not _NAME.fullmatch(name) or record["status"] not in STATES:
        raise ValueError(name)
    if record["status"] == "waiting":
        return CellRow(name, str(record["input"]), str(record["model"]), "waiting", (), "", None, record)
    verdict = _worst_verdict(record["result"])
    state = "failed" if record["status"] == "failed" else verdict["state"] if verdict else "done"
    about = str(record["input"]["name"]), str(record["model"]["name"])
    why = next(filter(None, (*_errors(record), *_reasons(verdict))), "")
    seconds = float(record["run"]["seconds"])
    return CellRow(name, *about, state, tuple(_lights(verdict)), why, seconds, record)


def _verdicts(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The verdicts in the result of a cell."""
    return [result["verdict"]] if "verdict" in result else list(result.get("verdicts", ()))


def _worst_verdict(result: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The worst of them. None without one."""
    return min(_verdicts(result), key=lambda one: ORDER.index(one["state"]), default=None)


def _lights(verdict: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """The lines of a verdict."""
    for question in QUESTIONS if verdict else ():
        word = question.rstrip("?")
        assert verdict is not None
        yield word, str(verdict[word.lower()]["state"])


def _errors(record: Mapping[str, Any]) -> Iterator[str]:
    """The errors of a cell, in words."""
    for one in record["diagnostics"]:
        if one.get("severity") == "error":
            yield f"{one['code']}: {one['message']}"


def _reasons(verdict: Mapping[str, Any] | None) -> Iterator[str]:
    """The reasons of a verdict that are not green, worst first."""
    every = [reason for word, _ in _lights(verdict) for reason in (verdict or {})[word.lower()]["reasons"]]
    bad = [one for one in every if one["state"] in ("red", "amber")]
    yield from (str(one["text"]) for one in sorted(bad, key=lambda one: ORDER.index(one["state"])))
