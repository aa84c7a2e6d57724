"""Small fleets for tests: deltas of the fixtures over copies of their base, which takes milliseconds a cell."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from places import FIXTURES

from editc.fleet.plan import load_plan
from editc.fleet.results.store import Store
from editc.fleet.run import Fleet, How, fleet

DELTAS = FIXTURES / "deltas" / "v1"
FORMS = ("dense", "low-rank", "shared", "xor")
PATIENCE = 120.0
"""Seconds until a test gives up waiting for another process."""


def write_plan(folder: Path, models: int = 2, forms: Iterable[str] = FORMS, text: str = "do: apply") -> Path:
    """A plan of these deltas over some models of equal weights, each with a note of its own."""
    (folder / "deltas").mkdir(parents=True)
    for form in forms:
        shutil.copyfile(DELTAS / f"{form}.safetensors", folder / "deltas" / f"{form}.safetensors")
    for number in range(models):
        shutil.copytree(DELTAS / "base", folder / "models" / f"m{number}")
        (folder / "models" / f"m{number}" / "note.txt").write_text(str(number))
    plan = folder / "plan.yaml"
    plan.write_text(f"fleet: 1\n{text}\ndeltas: [deltas/*]\nmodels: [models/*]\n")
    return plan


def run(plan: Path, out: Path | None = None, workers: int = 1, **named: Any) -> Fleet:
    """The fleet of a plan; its folder is `out` beside it if none is given."""
    how = How(workers=workers, **{name: named.pop(name) for name in ("engine", "share", "slurm") if name in named})
    return fleet(plan, out or plan.parent / "out", how, **named)


def records(out: Path) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    """(input, model) -> the record of the cell in fleet.json."""
    found = json.loads((out / "fleet.json").read_text())["cells"]
    return {(one["input"]["name"], one["model"]["name"]): one for one in found if one["status"] != "waiting"}


def results(out: Path) -> Mapping[tuple[str, str], Any]:
    """What each cell came to, without time and place."""
    return {key: (one["status"], one["result"], one["files"]) for key, one in records(out).items()}


def starts(out: Path) -> list[int]:
    """How often each cell that has a result was begun."""
    return sorted(Store(out).starts(one["name"]) for one in records(out).values())


def cell_folders(plan: Path, out: Path) -> list[Path]:
    """The folders of the cells of a plan, in its order."""
    from editc.fleet.cells import plan_cells
    from editc.fleet.content import KnownHashes

    return [Store(out).of(cell.name) for cell in plan_cells(load_plan(plan), KnownHashes())[0]]


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for another process. TimeoutError if it takes too long."""
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)
