"""A fleet of 200 cells by each engine, with a worker killed and the fleet itself killed: `python -m benchmarks.fleet
[--engines processes index slurm ray ray-2] [--deltas 20] [--models 10] [--workers 2]`.

Each engine runs `editc fleet` as a command. When a fifth of the cells have a result, the process of the last one is
killed; when half of them have, the command itself is. Then the command is given again until it is done. `slurm` is
submitit's own `cluster: local`, `index` are four jobs at once, and `ray-2` is a cluster of two nodes on this machine.

`--builds` builds two manifests for two models by each engine instead, nothing is killed, and delta ids are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

from tiny_files import write_pipeline

EDITC = (sys.executable, "-P", "-m", "editc", "-q", "fleet")
JOBS = 4
"""How many jobs `index` has."""
ENGINES: Mapping[str, tuple[str, ...]] = {
    "processes": (),
    "index": (),
    "slurm": ("--engine", "slurm", "--slurm", "cluster=local"),
    "ray": ("--engine", "ray"),
    "ray-2": ("--engine", "ray"),
}
"""Name here -> the options of the command."""


@dataclass(frozen=True)
class Trial:
    """What came of one engine."""

    engine: str
    """Its name in ENGINES."""
    seconds: float
    """From the first command to the end of the last."""
    mean: float
    """Mean seconds in a cell."""
    overhead: float
    """Median seconds between the end of a cell and the start of the next in the same worker."""
    killed: int
    """How many cells had a result when the command was killed; 0 if it was not."""
    again: int
    """How many cells the last command ran."""
    twice: int
    """How many cells were begun more than once."""
    touched: int
    """How many results were written a second time."""
    results: Mapping[tuple[str, str], Any]
    """(input, model) -> what the cell came to."""


def write_inputs(folder: Path, deltas: int, models: int) -> Path:
    """The plan of an apply of random deltas to a pico pipeline and fine-tunes of it."""
    from tiny_files import delta_for

    from editc.formats.delta.container import write_delta
    from editc.formats.models.model import open_model

    (folder / "deltas").mkdir()
    for number in range(models):
        write_pipeline(folder / "models" / f"m{number}", drift=0.004 * number)
    base = open_model(folder / "models" / "m0")
    for number in range(deltas):
        write_delta(delta_for(base, "low-rank", seed=number), folder / "deltas" / f"d{number:02}.safetensors")
    text = "fleet: 1\ndo: apply\ndeltas: [deltas/*]\nmodels: [models/*]\nallow_finetune: true\n"
    (folder / "plan.yaml").write_text(text)
    return folder / "plan.yaml"


def write_builds(folder: Path) -> Path:
    """The plan of two builds for two pico models."""
    import tiny

    for number in range(2):
        tiny.pipeline_folder(folder / "models" / f"m{number}", seed=number)
    for one, other in (("circle", "square"), ("star", "heart")):
        manifest = f"editc: 1\nmodel: editc:demo\nedits: [{{erase: {one}, to: {other}}}]\n"
        (folder / f"{one}.yaml").write_text(manifest)
    (folder / "plan.yaml").write_text("fleet: 1\ndo: build\nmanifests: [circle.yaml, star.yaml]\nmodels: [models/*]\n")
    return folder / "plan.yaml"


def cells(out: Path) -> list[Path]:
    """The results so far, the last one last."""
    return sorted(out.glob("cells/*/cell.json"), key=lambda path: path.stat().st_mtime_ns)


def started(engine: str, plan: Path, out: Path, workers: int, more: Sequence[str]) -> list[subprocess.Popen[bytes]]:
    """The command, or its jobs."""
    shares = [("--index", str(i), "--of", str(JOBS)) for i in range(JOBS)] if engine == "index" else [()]
    count = ("--workers", str(1 if engine == "index" else workers))
    command = [*EDITC, str(plan), "-o", str(out), *ENGINES[engine], *more, *count]
    return [subprocess.Popen([*command, *share], stdout=subprocess.DEVNULL) for share in shares]


def run(engine: str, plan: Path, out: Path, workers: int, more: Sequence[str], total: int) -> Trial:
    """One engine: a worker is killed, the command is killed, and the command is given again. `total` 0: no kills."""
    begin = perf_counter()
    killed, before = 0, dict[Path, int]()
    if total:
        commands = started(engine, plan, out, workers, more)
        wait_for(out, total // 5, commands)
        with suppress(OSError):
            os.kill(json.loads(cells(out)[-1].read_text())["run"]["process"], signal.SIGKILL)
        wait_for(out, total // 2, commands)
        for command in commands:
            command.kill()
            command.wait()
        before = {path: path.stat().st_mtime_ns for path in cells(out)}
        killed = len(before)
    for command in started(engine, plan, out, workers, more):
        assert command.wait() == 0, f"{engine}: exit {command.returncode}"
    seconds = perf_counter() - begin
    found = json.loads((out / "fleet.json").read_text())
    assert found["counts"]["waiting"] == 0, "a cell has no result"
    touched = sum(path.stat().st_mtime_ns != then for path, then in before.items())
    records = found["cells"]
    begun = [len((out / one["folder"] / "starts").read_text().splitlines()) for one in records]
    results = {
        (one["input"]["name"], one["model"]["name"]): (one["status"], one["result"], one["files"]) for one in records
    }
    twice, again = sum(number > 1 for number in begun), len(records) - killed
    mean = sum(one["run"]["seconds"] for one in records) / len(records)
    return Trial(engine, seconds, mean, gap(records), killed, again, twice, touched, results)


def wait_for(out: Path, number: int, commands: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until so many cells have a result, or the commands have ended."""
    while len(cells(out)) < number and any(command.poll() is None for command in commands):
        sleep(0.01)


def gap(records: Sequence[Mapping[str, Any]]) -> float:
    """Median seconds between the end of a cell and the start of the next in the same process."""
    by_process = defaultdict[int, list[tuple[float, float]]](list)
    for one in records:
        by_process[one["run"]["process"]].append((one["run"]["started"], one["run"]["seconds"]))
    gaps = [
        later - (start + took)
        for spans in by_process.values()
        for (start, took), (later, _) in zip(sorted(spans), sorted(spans)[1:], strict=False)
    ]
    return median(gaps) if gaps else float("nan")


@contextmanager
def cluster(engine: str, workers: int) -> Iterator[tuple[str, ...]]:
    """For `ray-2` the address of a cluster of two nodes, each with half of the workers."""
    if engine != "ray-2":
        yield ()
        return
    from ray.cluster_utils import Cluster

    cores = {"num_cpus": max(1, workers // 2)}
    nodes = Cluster(initialize_head=True, head_node_args=cores)
    nodes.add_node(**cores)
    nodes.wait_for_nodes()
    try:
        yield "--address", nodes.address
    finally:
        nodes.shutdown()


def main(arguments: argparse.Namespace) -> None:
    """Run each engine and print a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = write_builds(folder) if arguments.builds else write_inputs(folder, arguments.deltas, arguments.models)
        total = 0 if arguments.builds else arguments.deltas * arguments.models
        print("| engine | seconds | in a cell | between cells | killed at | run after | begun twice | same results |")
        print("|---|---|---|---|---|---|---|---|")
        first: Mapping[tuple[str, str], Any] = {}
        for engine in arguments.engines:
            with cluster(engine, arguments.workers) as more:
                one = run(engine, plan, folder / engine, arguments.workers, more, total)
            first = first or one.results
            same = "yes" if one.results == first and not one.touched else "NO"
            figures = f"{one.seconds:.0f} s | {one.mean:.3f} s | {one.overhead:.3f} s"
            print(f"| {engine} | {figures} | {one.killed} | {one.again} | {one.twice} | {same} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=["processes", "index", "slurm"])
    parser.add_argument("--deltas", type=int, default=20)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--builds", action="store_true")
    main(parser.parse_args())
