"""Run cells as an array of Slurm jobs, by submitit. Each job runs a share of the cells, so that starting a job is paid
for once and not for every cell.

submitit's own `cluster: local` runs the same jobs as processes of this machine, without Slurm.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from editc.core.diagnostics import EditcError, fail
from editc.fleet.cells import Cell
from editc.fleet.engine import TRIES, Ended, Setting, environment, missing_engine
from editc.fleet.processes import DIED
from editc.fleet.worker import run_cells

LOGS = "slurm"
"""The folder of submitit in the folder of the fleet: what was submitted, and what each job printed."""
JOBS = 16
"""How many jobs an array has where `workers` is not given. Chosen by hand."""
LOOK = 0.5
"""Seconds between two looks for new results. Chosen by hand: a shared file system shows them no sooner."""
SHARED = ("timeout_min", "mem_gb", "nodes", "gpus_per_node", "name", "stderr_to_stdout", "tasks_per_node")
"""Options that submitit has for every cluster. It wants the others with the cluster's name before them."""


def run_on_slurm(cells: Sequence[Cell], setting: Setting) -> Iterator[Ended]:
    """Run the cells and yield each as it ends. Raises E707 without submitit, E710 where no job begins a cell.

    Cells that a job leaves when it is killed are submitted again, those that were begun after all others.
    """
    before = {cell.name: setting.store.starts(cell.name) for cell in cells}
    tries, left = dict.fromkeys(before, 0), list(cells)
    with environment(setting.environment):
        executor = _executor(setting)
        while left:
            jobs = _submit(executor, _shares(left, setting.workers or JOBS), setting)
            done = list[Cell]()
            for cell in _watch(jobs, left, setting):
                done.append(cell)
                yield Ended(cell)
            left = [cell for cell in left if cell not in done]
            last, tries = tries, {cell.name: setting.store.starts(cell.name) - before[cell.name] for cell in left}
            if not done and all(tries[cell.name] == last[cell.name] for cell in left):
                raise _no_cell_begun(jobs, setting)
            for cell in left:
                if tries[cell.name] >= TRIES:
                    yield Ended(cell, DIED)
            left = sorted((c for c in left if tries[c.name] < TRIES), key=lambda c: tries[c.name])


def _shares(cells: Sequence[Cell], count: int) -> list[list[dict[str, Any]]]:
    """The cells dealt out to so many jobs, in turn."""
    return [[cell.as_job() for cell in cells[k::count]] for k in range(min(count, len(cells)))]


def _executor(setting: Setting) -> Any:
    """submitit's executor with the options that were given. Raises E707 and E710."""
    try:
        import submitit
    except ImportError as error:
        raise missing_engine("submitit") from error
    options = dict(setting.options)
    cluster = options.pop("cluster", "slurm")
    named = {name if name in SHARED else f"{cluster}_{name}": value for name, value in options.items()}
    try:
        executor = submitit.AutoExecutor(folder=setting.store.folder / LOGS, cluster=cluster)
        executor.update_parameters(**{"name": "editc", "cpus_per_task": setting.threads, **named})
    except (RuntimeError, NameError, ValueError, TypeError, AssertionError, KeyError) as error:
        raise fail("E710", f"submitit refuses this: {error}", place="--slurm") from error
    return executor


def _submit(executor: Any, shares: Sequence[Any], setting: Setting) -> list[Any]:
    """Submit one job for each share, as an array. Raises E710 where the cluster refuses them."""
    try:
        jobs: list[Any] = executor.map_array(run_cells, shares, [str(setting.store.folder)] * len(shares))
    except Exception as error:  # submitit passes on whatever sbatch says
        raise fail("E710", f"the jobs were refused: {error}", place="--engine slurm") from error
    return jobs


def _watch(jobs: Sequence[Any], cells: Sequence[Cell], setting: Setting) -> Iterator[Cell]:
    """The cells that get a result, as they get it, until all jobs have ended."""
    left: Mapping[str, Cell] = {cell.name: cell for cell in cells}
    over = False
    while left and not over:
        over = all(job.done() for job in jobs)
        if over:
            _wait(jobs)
        else:
            time.sleep(LOOK)
        found = [cell for cell in left.values() if setting.store.result(cell.name) is not None]
        yield from found
        left = {name: cell for name, cell in left.items() if cell not in found}


def _wait(jobs: Sequence[Any]) -> None:
    """Wait until every job has written its answer; submitit's `cluster: debug` runs it only then. Raises what
    `run_cell` raised."""
    for job in jobs:
        error = job.exception()
        if isinstance(error, EditcError):
            raise error


def _no_cell_begun(jobs: Sequence[Any], setting: Setting) -> EditcError:
    """E710 with the last lines that the first job printed."""
    lines = (jobs[0].stderr() or jobs[0].stdout() or "").strip().splitlines()[-5:]
    place = str(setting.store.folder / LOGS)
    return fail("E710", "the jobs ended before they began a cell", place=place, notes=lines)
