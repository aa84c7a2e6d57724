"""`editc fleet`: run the cells of a plan that have no result yet, then write one page and one JSON of all cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from editc.core.diagnostics import Diagnostic
from editc.core.ports import Progress
from editc.core.storage.disk import check_folder, guard_writes
from editc.core.text import count, first_rows
from editc.fleet.cells import Cell, plan_cells
from editc.fleet.content import KnownHashes
from editc.fleet.engine import Ended, Engine, Setting
from editc.fleet.plan import load_plan
from editc.fleet.results.store import Store
from editc.fleet.rows import Row
from editc.fleet.summary import write_summary
from editc.fleet.worker import HASHES

ENGINES: Mapping[str, str] = {
    "processes": "editc.fleet.processes:run_in_processes",
    "ray": "editc.fleet.ray_cluster:run_on_ray",
    "slurm": "editc.fleet.slurm:run_on_slurm",
}
"""Name of an engine -> `module:attribute`. The first is the default."""


@dataclass(frozen=True)
class How:
    """Where and with how much the cells run: what a plan does not say."""

    engine: str = "processes"
    """A name in ENGINES."""
    workers: int = 0
    """How many cells run at once; 0: as many as there are cores for."""
    threads: int = 1
    """How many cores one worker uses."""
    address: str = ""
    """The address of a Ray cluster. Empty: RAY_ADDRESS, else a cluster of its own."""
    slurm: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Options of Slurm, as submitit names them."""
    share: tuple[int, int] = (0, 1)
    """(I, N): run only every N-th cell, from cell I on."""


@dataclass(frozen=True)
class Fleet:
    """The result of `fleet`."""

    rows: tuple[Row, ...]
    """All cells of the plan, in its order, with their results as far as there are any."""
    before: int
    """How many cells of this share had a result before."""
    ran: int
    """How many got one now."""
    files: tuple[Path, ...]
    """The JSON and the page. Empty if nothing was to be written."""
    failures: tuple[Diagnostic, ...]
    """E704 if cells failed, E705 if cells have no result because their worker died."""
    warnings: tuple[Diagnostic, ...]
    """Warnings of the plan."""


def fleet(
    path: Path,
    out: Path,
    how: How | None = None,
    retry: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Fleet:
    """Run the cells of the plan at `path` that have no result in the folder `out`. `retry`: those that failed too.

    Raises EditcError for a plan that is wrong, and where the engine cannot be used.
    """
    how = how or How()
    plan, store = load_plan(path), Store(out.absolute())
    check_folder(out)
    known = KnownHashes.load(store.folder / HASHES)
    if not dry_run:
        with guard_writes(out):
            store.folder.mkdir(parents=True, exist_ok=True)
    cells, warnings = plan_cells(plan, known if not dry_run else KnownHashes(None, known.known), progress)
    share, before = cells[how.share[0] :: how.share[1]], _have_results(cells, store)
    waiting = [cell for cell in share if cell.name not in before or (retry and before[cell.name] == "failed")]
    done_before = len(share) - len(waiting)
    if dry_run:
        return Fleet(tuple(Row(cell, store.result(cell.name)) for cell in cells), done_before, 0, (), (), warnings)
    for cell in waiting:
        if cell.name in before:
            store.forget(cell.name)
    lost = _run(waiting, how, store, progress)
    rows, files = write_summary(cells, store, plan.verb)
    return Fleet(rows, done_before, len(waiting) - len(lost), files, tuple(_failures(rows, lost)), warnings)


def _have_results(cells: Iterable[Cell], store: Store) -> Mapping[str, str]:
    """Name -> status, of each cell that has a result."""
    found = ((cell.name, store.result(cell.name)) for cell in cells)
    return {name: str(record["status"]) for name, record in found if record is not None}


def _run(cells: Sequence[Cell], how: How, store: Store, progress: Progress | None) -> list[Ended]:
    """Run the cells; returns those that have no result."""
    if not cells:
        return []
    module, _, attribute = ENGINES[how.engine].partition(":")
    engine: Engine = getattr(import_module(module), attribute)
    ended = engine(cells, Setting(store, how.workers, how.threads, how.address, how.slurm))
    watched = _watched(ended, cells, progress) if progress else ended
    return [one for one in watched if one.lost]


def _watched(ended: Iterator[Ended], cells: Sequence[Cell], progress: Progress) -> Iterator[Ended]:
    """The cells as they end, counted by the progress."""
    for _, one in zip(progress("cell", cells), ended, strict=True):
        yield one


def _failures(rows: Sequence[Row], lost: Sequence[Ended]) -> Iterator[Diagnostic]:
    """E704 with the cells that failed, and E705 with those that have no result."""
    failed = [row for row in rows if row.status == "failed"]
    if failed:
        notes = first_rows([f"{row.cell.title}: {row.why}" for row in failed])
        message = f"{len(failed)} of {count(len(rows), 'cell')} failed"
        yield Diagnostic("E704", message, help="mend their cause, then run with --retry", notes=notes)
    if lost:
        notes = first_rows([f"{one.cell.title}: {one.lost}" for one in lost])
        message = f"{count(len(lost), 'cell')} got no result"
        yield Diagnostic("E705", message, help="run the same again, with fewer workers if memory is short", notes=notes)
