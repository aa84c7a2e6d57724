"""Run several batches layer by layer: all of them through one layer, then all through the next.

transformers' own code runs a batch through all layers. Here each batch has a thread, of which one runs at a time, and
each stops before every layer until the others have come there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Semaphore, Thread, local
from typing import Any

_THREAD = local()


class _Runner:
    """One job in a thread of its own. It runs while the caller of `advance` waits."""

    def __init__(self, job: Callable[[], Any]) -> None:
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._turn, self._back = Semaphore(0), Semaphore(0)
        self._job = job
        Thread(target=self._run, daemon=True).start()

    def advance(self) -> None:
        """Let the job run until it calls `wait_for_others`, or to its end."""
        self._turn.release()
        self._back.acquire()

    def hand_over(self) -> None:
        """Called in the job's thread: let the caller of `advance` go on, and wait for the next turn."""
        self._back.release()
        self._turn.acquire()

    def _run(self) -> None:
        """Run the job, and keep its result or its error."""
        self._turn.acquire()
        _THREAD.runner = self
        try:
            self.result = self._job()
        except BaseException as error:  # raised again by `run_in_step`
            self.error = error
        self.done = True
        self._back.release()


def wait_for_others() -> None:
    """Wait until every other job of `run_in_step` has come as far. Outside of a job, do nothing."""
    runner = getattr(_THREAD, "runner", None)
    if runner is not None:
        runner.hand_over()


def run_in_step(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run the jobs, each up to its next `wait_for_others` before any goes further; return their results in order.

    Within a round they run one after the other, in the order given. Raises the first error once all have ended.
    """
    runners = [_Runner(job) for job in jobs]
    while going := [one for one in runners if not one.done]:
        for one in going:
            one.advance()
    for one in runners:
        if one.error is not None:
            raise one.error
    return [one.result for one in runners]


def run_in_groups(jobs: Sequence[Callable[[], Any]], sizes: Sequence[int], most: int) -> Iterator[Any]:
    """Yield the result of each job in order. Jobs whose `sizes` are `most` in sum run in step; a larger one runs by
    itself."""
    group: list[Callable[[], Any]] = []
    taken = 0
    for job, size in zip(jobs, sizes, strict=True):
        if group and taken + size > most:
            yield from run_in_step(group)
            group, taken = [], 0
        group.append(job)
        taken += size
    yield from run_in_step(group)
