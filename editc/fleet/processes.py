"""Run cells in processes of this machine. Each worker is a pool of one process, so a process that dies takes no other
worker's cell with it, and it is known which cell it died of."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from queue import SimpleQueue
from threading import Event, Thread

from editc.fleet.cells import Cell
from editc.fleet.engine import TRIES, Ended, Setting, environment
from editc.fleet.worker import run_cell
from editc.libraries.cores import available_cores

DIED = "the process that ran it ended before it was done: out of memory, or killed"
"""What a cell's worker that died leaves to say."""


def run_in_processes(cells: Sequence[Cell], setting: Setting) -> Iterator[Ended]:
    """Run the cells and yield each as it ends."""
    waiting, ended, stop = deque(cells), SimpleQueue[Ended | BaseException](), Event()
    count = min(setting.workers or available_cores() // setting.threads or 1, len(cells))
    with environment(setting.environment):
        lanes = [Thread(target=_work, args=(waiting, ended, stop, setting), daemon=True) for _ in range(count)]
        for lane in lanes:
            lane.start()
        try:
            for _ in cells:
                found = ended.get()
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            stop.set()
            for lane in lanes:
                lane.join()


def _work(waiting: deque[Cell], ended: SimpleQueue[Ended | BaseException], stop: Event, setting: Setting) -> None:
    """One worker: run cells until none is waiting."""
    pool = _start()
    try:
        while waiting and not stop.is_set():
            try:
                cell = waiting.popleft()
            except IndexError:  # another worker took the last
                break
            for _ in range(TRIES):
                try:
                    pool.submit(run_cell, cell.as_job(), str(setting.store.folder)).result()
                    ended.put(Ended(cell))
                    break
                except BrokenProcessPool:
                    pool.shutdown(wait=False)
                    pool = _start()
            else:
                ended.put(Ended(cell, DIED))
    except BaseException as error:  # the thread of the fleet raises it
        ended.put(error)
    finally:
        pool.shutdown()


def _start() -> ProcessPoolExecutor:
    """A pool of one process, which starts with its first cell. It is not forked: torch and CUDA forbid that."""
    return ProcessPoolExecutor(1, get_context("spawn"), end_with_driver)


def end_with_driver() -> None:
    """End the process of a worker as soon as the fleet's has ended, however that ended."""
    from editc.opening.attack_processes import end_with_parent

    end_with_parent()
