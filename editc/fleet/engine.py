"""What every engine is told, and what it tells: where and with how much cells run, and which of them ended."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from editc.core.diagnostics import EditcError, fail
from editc.fleet.cells import Cell
from editc.fleet.results.store import Store
from editc.fleet.worker import limits

TRIES = 3
"""How often a cell is begun whose worker dies. Chosen by hand: a machine that goes away is bad luck once or twice, and
a cell that takes more memory than there is fails each time."""
PASSED = ("EDITC_CACHE", "EDITC_DEVICE")
"""Variables of this process that workers on other machines get too, where they are set."""


@dataclass(frozen=True)
class Setting:
    """Where and with how much the cells run."""

    store: Store
    """The folder of the fleet."""
    workers: int
    """How many cells run at once; 0: as many as the engine finds cores for."""
    threads: int
    """How many cores one worker uses."""
    address: str = ""
    """The address of a Ray cluster. Empty: the one in RAY_ADDRESS, else one of its own."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of Slurm, as submitit names them."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a worker gets."""
        return limits(self.threads) | {name: os.environ[name] for name in PASSED if name in os.environ}

    @property
    def gpus(self) -> int:
        """How many GPUs one worker uses: Ray hides those that a task does not ask for."""
        return int(os.environ.get("EDITC_DEVICE", "").startswith("cuda"))


@dataclass(frozen=True)
class Ended:
    """A cell that an engine is done with."""

    cell: Cell
    """The cell."""
    lost: str = ""
    """Why there is no result. Empty: its record is in the store."""


class Engine(Protocol):
    """Runs cells. The records in the store are the results; the engine says only which cells ended."""

    def __call__(self, cells: Sequence[Cell], setting: Setting) -> Iterator[Ended]:
        """Run the cells and yield each as it ends. Raises EditcError where the engine cannot be used."""
        ...


def missing_engine(package: str) -> EditcError:
    """E707: the package of an engine is not installed."""
    from editc.libraries.extras import install_command

    message = f"this engine needs {package}, which is not installed"
    return fail("E707", message, place="--engine", help=install_command("fleet"))


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set these variables for the processes that are started inside this context."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
