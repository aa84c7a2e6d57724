"""What an engine runs in its processes: one cell, whose result is written to the folder of the fleet.

This module imports nothing heavy, because the limits of threads must be in the environment before numpy and torch are
imported.
"""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editc.core.diagnostics import Diagnostic, EditcError, as_json, fail

if TYPE_CHECKING:
    from editc.fleet.cells import Cell
    from editc.fleet.tasks import Outcome

HASHES = "hashes.json"
"""The file in the folder of a fleet with the hashes of inputs."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "EDITC_PROCESSES")
"""Variables that limit how many cores one process uses: of the libraries, and of the attacks of editc."""
BUG_LINES = 12
"""How many of the last lines of a traceback a cell records. Chosen by hand: enough to find the place."""


def run_cells(jobs: Iterable[Mapping[str, Any]], folder: str) -> list[str]:
    """Run several cells, one after the other, as `run_cell` does."""
    return [run_cell(job, folder) for job in jobs]


def run_cell(job: Mapping[str, Any], folder: str) -> str:
    """Run one cell (`Cell.as_job`) for the fleet in `folder`, unless it has a result already. Returns its status.

    Whatever the cell raises is its result. Raises EditcError only if that cannot be written.
    """
    from editc.fleet.cells import Cell
    from editc.fleet.results.store import Store

    cell, store = Cell(**job), Store(Path(folder))
    with store.begin(cell.name, f"{socket.gethostname()} {os.getpid()} {time.time():.3f}") as place:
        found = store.result(cell.name)
        if found is None:
            found = _record(cell, place, Path(folder))
            store.finish(cell.name, found)
    return str(found["status"])


def limits(threads: int) -> dict[str, str]:
    """The environment of a worker that uses so many cores."""
    return dict.fromkeys(THREADS, str(threads))


def _record(cell: Cell, place: Path, folder: Path) -> Mapping[str, Any]:
    """Run a cell and return its record."""
    from editc.libraries import foreign

    started, clock = time.time(), time.monotonic()
    with foreign.capture_output():
        outcome = _outcome(cell, place, folder)
    found = outcome.diagnostics
    return {
        "cell": 1,
        "name": cell.name,
        "verb": cell.verb,
        "input": {"name": cell.input_name, "hash": cell.input_hash},
        "model": {"name": cell.model_name, "hash": cell.model_hash},
        "options": dict(cell.options),
        "tool": cell.tool,
        "status": "failed" if any(one.is_error for one in found) else "done",
        "result": outcome.result,
        "files": list(outcome.files),
        "diagnostics": [dict(as_json(one)) for one in found],
        "run": {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "started": round(started, 3),
            "seconds": round(time.monotonic() - clock, 4),
        },
    }


def _outcome(cell: Cell, place: Path, folder: Path) -> Outcome:
    """What came of a cell; what it raises too. E709 for a bug."""
    from editc.fleet.tasks import Outcome, run_task

    try:
        with chdir(cell.folder):
            _check_inputs(cell, folder)
            return run_task(cell, place)
    except EditcError as error:
        return Outcome({}, (), error.diagnostics)
    except Exception as error:
        lines = traceback.format_exc().splitlines()[-BUG_LINES:]
        message = f"a bug in editc ended this cell: {type(error).__name__}: {error}"
        help_text = "please report it with the lines above"
        return Outcome({}, (), (Diagnostic("E709", message, help=help_text, notes=tuple(lines)),))


def _check_inputs(cell: Cell, folder: Path) -> None:
    """E708 if this machine has another editc, E706 if it has another input under the same path."""
    from editc.fleet.cells import hash_inputs
    from editc.fleet.content import KnownHashes
    from editc.fleet.verbs import call

    here = call("tool")
    if cell.tool != here:
        message = f"this machine has {here}, and the fleet was started by {cell.tool}"
        raise fail("E708", message, place=socket.gethostname(), help="install the same editc on every machine")
    known = KnownHashes.load(folder / HASHES)
    for what, place, wanted, found in zip(
        ("input", "model"),
        (cell.input, cell.model),
        (cell.input_hash, cell.model_hash),
        hash_inputs(cell, known),
        strict=True,
    ):
        if wanted != found:
            message = f"the {what} is not what it was when the fleet was started"
            raise fail("E706", message, place=f"{place} on {socket.gethostname()}", help="start the fleet again")
