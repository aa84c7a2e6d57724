"""Runs attacks in processes of their own, each with a model of its own and one thread.

One thread a process makes the results the same on machines with other numbers of cores.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from editc.backends import painter
from editc.backends.diffusion import PipelineDiffusion
from editc.core.delta import Array
from editc.core.ports import Progress
from editc.passes.images.attacks.jobs import Done, Job, run_job


def job_runner(
    folder: Path, component: str, progress: Progress | None
) -> Callable[[Sequence[Job], Mapping[str, Array]], Sequence[Done]]:
    """A function that runs jobs in the pipeline of a folder, in as many processes as the machine has cores."""

    def run(jobs: Sequence[Job], changed: Mapping[str, Array]) -> Sequence[Done]:
        weights = {name: np.asarray(changed[name], dtype=np.float32) for name in changed}
        todo = [pickle.dumps((str(folder), component, job, weights)) for job in jobs]
        count = max(1, min(len(todo), os.cpu_count() or 1))
        with ProcessPoolExecutor(count, get_context("spawn"), _limit_threads) as pool:
            done = pool.map(_run_packed, todo)
            watched: Iterable[Any] = progress("attack", _Counted(done, len(todo))) if progress else done
            return [pickle.loads(one) for one in watched]

    return run


class _Counted:
    """An iterable of a known length, so that progress can say how much is left."""

    def __init__(self, inner: Iterable[bytes], count: int) -> None:
        self.inner, self.count = inner, count

    def __iter__(self) -> Any:
        return iter(self.inner)

    def __len__(self) -> int:
        return self.count


def _limit_threads() -> None:
    import torch

    torch.set_num_threads(1)


def _run_packed(packed: bytes) -> bytes:
    folder, component, job, weights = pickle.loads(packed)
    model = _open(folder, component)
    return pickle.dumps(run_job(job, model, weights))


@cache
def _open(folder: str, component: str) -> PipelineDiffusion:
    """The model of a process, opened once."""
    found = PipelineDiffusion.of(painter.load(Path(folder), component))
    assert found is not None
    return found
