"""Run cells as tasks of Ray: on the cluster at an address, or on one that is started here and ends with the fleet.

A task carries paths and hashes; the machine that runs it reads the weights from its own disk or a shared one.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from editc.core.diagnostics import fail
from editc.fleet.cells import Cell
from editc.fleet.engine import TRIES, Ended, Setting, missing_engine
from editc.fleet.processes import DIED
from editc.fleet.worker import run_cell
from editc.libraries.cores import available_cores

WINDOW = 1000
"""The most tasks that wait in Ray at once, where `workers` does not say fewer. Chosen by hand: more than any cluster
has cores idle between two answers, and few enough to watch."""


def run_on_ray(cells: Sequence[Cell], setting: Setting) -> Iterator[Ended]:
    """Run the cells and yield each as it ends. Raises E707 without Ray, E710 where no cluster answers."""
    with _cluster(setting) as ray:
        needs = {"num_cpus": setting.threads, "num_gpus": setting.gpus}
        task = ray.remote(run_cell).options(**needs, max_retries=0, runtime_env={"env_vars": setting.environment})
        waiting, running = deque((cell, 1) for cell in cells), dict[Any, tuple[Cell, int]]()
        while waiting or running:
            while waiting and len(running) < (setting.workers or WINDOW):
                cell, tries = waiting.popleft()
                running[task.remote(cell.as_job(), str(setting.store.folder))] = cell, tries
            for answer in ray.wait(list(running), num_returns=1)[0]:
                cell, tries = running.pop(answer)
                why = _why_lost(ray, answer)
                if why and tries < TRIES:
                    waiting.append((cell, tries + 1))
                else:
                    yield Ended(cell, why)


def _why_lost(ray: Any, answer: Any) -> str:
    """Why a task gave no result. Empty if it did. What `run_cell` itself raises is raised here."""
    try:
        ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        return f"{DIED} ({type(error).__name__})"
    return ""


@contextmanager
def _cluster(setting: Setting) -> Iterator[Any]:
    """Ray, connected. A connection that this process had before stays open."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a fleet tells nobody that it runs
    try:
        import ray
    except ImportError as error:
        raise missing_engine("ray") from error
    if ray.is_initialized():
        yield ray
        return
    address = setting.address or os.environ.get("RAY_ADDRESS", "")
    try:
        if address:
            ray.init(address, log_to_driver=False, logging_level="ERROR")
        else:
            cores = setting.workers * setting.threads or available_cores()
            ray.init("local", num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        what = f"no Ray cluster answers at {address}" if address else "Ray cannot be started"
        raise fail("E710", what, place="--address", notes=(str(error).splitlines() or [""])[:1]) from error
    try:
        yield ray
    finally:
        ray.shutdown()
