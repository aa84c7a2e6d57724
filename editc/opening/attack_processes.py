"""Runs attacks in processes of their own, each with a model of its own and one thread.

One thread a process makes the results the same on machines with other numbers of cores. Where it is possible, the
processes are forked from one that has imported the libraries while the build was opening its own.
"""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from editc.backends import painter
from editc.backends.diffusion import PipelineDiffusion
from editc.core.delta import Array
from editc.core.ports import Progress, Task, Workers
from editc.libraries.cores import available_cores
from editc.libraries.device import choose_device, is_cpu

IMPORTS = "editc.opening.attack_imports"
"""The module that the process imports from which the others are forked."""


def prepare_processes() -> BaseContext:
    """How processes are started. Where they can be forked, the process that they are forked from begins to import the
    libraries: call this early, so that it is done when the attacks begin. It lives until this process ends.

    A process that has looked for a GPU cannot be forked (CUDA forbids it), and libraries look as they are imported.
    """
    if not is_cpu(choose_device()) or "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    from multiprocessing import forkserver

    context = get_context("forkserver")
    context.set_forkserver_preload([IMPORTS])
    forkserver.ensure_running()
    return context


def worker_opener(
    folder: Path, component: str, progress: Progress | None
) -> Callable[[Mapping[str, Array]], AbstractContextManager[Workers]]:
    """A function that opens processes for some edited weights, each with the pipeline of `folder`, `process_count`
    of them. They live until its context closes, so the model is loaded once in each."""

    @contextmanager
    def open_workers(changed: Mapping[str, Array]) -> Iterator[Workers]:
        weights: Mapping[str, Any] = {name: np.asarray(changed[name], dtype=np.float32) for name in changed}
        given = str(folder), component, weights
        with ProcessPoolExecutor(process_count(), prepare_processes(), _start, given) as pool:

            def work(stage: str, tasks: Sequence[Task]) -> Sequence[Any]:
                done = pool.map(_run_packed, [pickle.dumps(task) for task in tasks])
                watched: Iterable[Any] = progress(stage, _Counted(done, len(tasks))) if progress else done
                return [pickle.loads(one) for one in watched]

            yield work

    return open_workers


def process_count() -> int:
    """How many processes attacks run in: EDITC_PROCESSES, by which workers of a fleet share a machine, else as many as
    there are cores for this process."""
    named = os.environ.get("EDITC_PROCESSES", "")
    return int(named) if named.isdigit() and int(named) else available_cores()


class _Counted:
    """An iterable of a known length, so that progress can say how much is left."""

    def __init__(self, inner: Iterable[bytes], count: int) -> None:
        self.inner, self.count = inner, count

    def __iter__(self) -> Any:
        return iter(self.inner)

    def __len__(self) -> int:
        return self.count


_STARTED: dict[str, Any] = {}
"""What a process was started with: its `model`, and the edited `weights`, sent once and not with each task."""


def _start(folder: str, component: str, weights: Mapping[str, Any]) -> None:
    """Open the model of a process, with one thread."""
    import torch

    end_with_parent()
    torch.set_num_threads(1)
    model = PipelineDiffusion.of(painter.load(Path(folder), component, gradients=True))
    assert model is not None
    model.network.to(memory_format=torch.channels_last)  # convolutions on a CPU take an eighth less time
    _STARTED.update(model=model, weights=weights)
    gc.freeze()  # the libraries' objects stay: collections need not look through them


def end_with_parent() -> None:
    """End this process as soon as the one that asked for it has ended, however that ended: a build that is killed must
    not leave attacks running."""
    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def _run_packed(packed: bytes) -> bytes:
    """Run one pickled task; what it returns, pickled."""
    task: Task = pickle.loads(packed)
    return pickle.dumps(task.run(_STARTED["model"], _STARTED["weights"]))
