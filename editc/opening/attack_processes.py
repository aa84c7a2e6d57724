"""Runs attacks in processes of their own, each with a model of its own and one thread.

One thread a process makes the results the same on machines with other numbers of cores.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
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
        weights: Mapping[str, Any] = {name: np.asarray(changed[name], dtype=np.float32) for name in changed}
        todo = [pickle.dumps(job) for job in jobs]
        count = max(1, min(len(todo), os.cpu_count() or 1))
        given = str(folder), component, weights
        with ProcessPoolExecutor(count, get_context("spawn"), _start, given) as pool:
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


_STARTED: dict[str, Any] = {}
"""What a process was started with: its `model`, and the edited `weights`, sent once and not with each job."""


def _start(folder: str, component: str, weights: Mapping[str, Any]) -> None:
    """Open the model of a process, with one thread."""
    import torch

    torch.set_num_threads(1)
    model = PipelineDiffusion.of(painter.load(Path(folder), component))
    assert model is not None
    _STARTED.update(model=model, weights=weights)


def _run_packed(packed: bytes) -> bytes:
    """Run one pickled job; the pickled `Done`."""
    return pickle.dumps(run_job(pickle.loads(packed), _STARTED["model"], _STARTED["weights"]))
