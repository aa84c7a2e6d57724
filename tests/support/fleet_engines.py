"""Stand-ins for Ray and submitit with the few names that editc calls: cells really run, here and at once, and a worker
dies where a test says so. The packages themselves are tried where they are installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any


class RayError(Exception):
    """As in ray.exceptions: the parent of all."""


class RayTaskError(RayError):
    """As in ray.exceptions: a task raised `cause`."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class WorkerCrashedError(RayError):
    """As in ray.exceptions: the process of a task ended."""


@dataclass
class FakeRay:
    """A cluster whose workers die of the given inputs, so many times each."""

    dies_of: dict[str, int] = field(default_factory=dict)
    """Part of an input's path -> how many more workers die of it."""
    asked: dict[str, Any] = field(default_factory=dict)
    """What `init` and `options` were given."""
    on: bool = False
    """True between `init` and `shutdown`."""

    def as_module(self) -> ModuleType:
        """The module `ray`."""
        module = ModuleType("ray")
        names = {"RayError": RayError, "RayTaskError": RayTaskError}
        members = {
            "exceptions": SimpleNamespace(**names),
            "is_initialized": lambda: self.on,
            "init": self.init,
            "shutdown": self.shutdown,
            "remote": lambda function: SimpleNamespace(options=lambda **named: self.options(function, named)),
            "wait": lambda tasks, num_returns: (tasks[:num_returns], tasks[num_returns:]),
            "get": lambda task: task(),
        }
        for name, member in members.items():
            setattr(module, name, member)
        return module

    def init(self, address: str, **named: Any) -> None:
        """Connect; only a cluster of one's own is there."""
        if address != "local":
            raise ConnectionError("nobody answers")
        self.asked, self.on = {**self.asked, **named}, True

    def shutdown(self) -> None:
        """Disconnect."""
        self.on = False

    def options(self, function: Callable[..., str], named: dict[str, Any]) -> Any:
        """The task of a function."""
        self.asked |= named

        def remote(job: dict[str, Any], folder: str) -> Callable[[], str]:
            def get() -> str:
                name = next((part for part, left in self.dies_of.items() if part in job["input"] and left), None)
                if name is not None:
                    self.dies_of[name] -= 1
                    raise WorkerCrashedError
                return function(job, folder)

            return get

        return SimpleNamespace(remote=remote)


@dataclass
class FakeJob:
    """A job that has ended."""

    error: BaseException | None
    """What it raised."""

    def done(self) -> bool:
        """Always."""
        return True

    def exception(self) -> BaseException | None:
        """What it raised."""
        return self.error

    def stderr(self) -> str:
        """What it printed."""
        return "one\nslurmstepd: error: no such partition\n"

    def stdout(self) -> str:
        """What it printed."""
        return ""


@dataclass
class FakeSlurm:
    """A cluster that runs jobs at once, in an empty folder of begun cells where a job dies."""

    dies_of: dict[str, int] = field(default_factory=dict)
    """Part of an input's path -> how many more jobs die of it: after they began its cell."""
    refuses: bool = False
    """True if no job begins a cell."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """What `update_parameters` was given."""
    arrays: list[list[list[str]]] = field(default_factory=list)
    """The inputs of each job of each array that was submitted."""

    def as_module(self) -> ModuleType:
        """The module `submitit`."""
        module = ModuleType("submitit")
        module.AutoExecutor = lambda folder, cluster: self  # type: ignore[attr-defined]
        return module

    def update_parameters(self, **named: Any) -> None:
        """Take the options."""
        self.parameters = named

    def map_array(self, function: Any, shares: Sequence[Any], folders: Sequence[str]) -> list[FakeJob]:
        """Run every share."""
        self.arrays.append([[Path(job["input"]).stem for job in share] for share in shares])
        return [self._run(share, folder) for share, folder in zip(shares, folders, strict=True)]

    def _run(self, share: Sequence[dict[str, Any]], folder: str) -> FakeJob:
        from editc.fleet.results.store import Store
        from editc.fleet.worker import run_cell

        for job in () if self.refuses else share:
            name = next((part for part, left in self.dies_of.items() if part in job["input"] and left), None)
            if name is not None:
                self.dies_of[name] -= 1
                with Store(Path(folder)).begin(job["name"], "a worker that dies"):
                    return FakeJob(RuntimeError("killed"))
            run_cell(job, folder)
        return FakeJob(None)
