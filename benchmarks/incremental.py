"""What adding an eleventh concept to ten costs, with and without what was kept: `python -m benchmarks.incremental`.

CPU seconds of one process. `demo`: whole builds of the demo model by pass, each in a process of its own, a mapped
concept being one name in the family's 36 contexts. `solver`: the normal matrix, its factor and the right-hand side
alone, random keys 2048 wide (SDXL's width). `update`: one new Cholesky against a rank-k update of the factor.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from editc.cache.disk import DiskCache
from editc.numerics import chain, ridge

NAMES = ("circle", "triangle", "star", "heart", "cross", "ring", "moon", "arrow", "diamond", "flower", "fish")
PASSES = ("derive", "solve", "verify", "emit")
WIDTH = 2048
COLUMNS = {"last (one bare name)": 1, "eot (36 contexts, one row each)": 36, "aligned (36 contexts of 77 rows)": 2772}


def main() -> None:
    """Prints the tables as Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["demo", "solver", "update"])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(build(int(given.one[0]), Path(given.one[1]))))
        return
    for name in given.what:
        for line in {"demo": demo, "solver": solver, "update": update}[name]():
            print(line, flush=True)


def build(count: int, folder: Path) -> Mapping[str, float]:
    """CPU seconds of each pass of a build of the first `count` objects, and of all that comes after locate."""
    from editc import api

    edits = "".join(f"  - {{erase: {name}, to: square}}\n" for name in NAMES[:count])
    path, seen = folder / "m.yaml", [("", 0.0)]
    path.write_text(f"editc: 1\nmodel: editc:demo\nedits:\n{edits}")

    def after(name: str, _: Any) -> bool:
        seen.append((name, process_time()))
        return True

    api.build(path, folder / "out", after=after)
    return {name: end - start for (_, start), (name, end) in itertools.pairwise(seen) if name in PASSES}


def demo() -> Iterator[str]:
    """Ten objects and then eleven, by what the cache held before."""
    yield from ("| build | " + " | ".join(PASSES) + " | together |", "|---" * (len(PASSES) + 2) + "|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cases = [("ten, nothing kept", 10, "a"), ("ten again", 10, "a"), ("one more, after ten", 11, "a")]
        for name, count, cache in [*cases, ("eleven, nothing kept", 11, "b"), ("eleven, no cache", 11, "")]:
            command = [sys.executable, "-m", "benchmarks.incremental", "--one", str(count), str(folder)]
            known = os.environ | {"EDITC_CACHE": str(folder / cache) if cache else ""}
            done = subprocess.run(command, env=known, check=True, capture_output=True, text=True)
            took = json.loads(done.stdout.splitlines()[-1])
            cells = [*(took.get(one, 0.0) for one in PASSES), sum(took.values())]
            yield f"| {name} | " + " | ".join(f"{seconds:.2f}" for seconds in cells) + " |"


def solver() -> Iterator[str]:
    """Ten blocks and then eleven, from a folder of arrays."""
    yield "| keys of a concept | eleven, nothing kept | one more, after ten | as one problem | apart |"
    yield "|---|---|---|---|---|"
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(WIDTH, 600))
    moment = 3.0 * rows @ rows.T / 600
    for name, m in COLUMNS.items():
        blocks = [
            chain.WeightedBlock(rng.normal(size=(WIDTH, m)), rng.normal(size=(WIDTH, m)), np.ones(m) / m) for _ in NAMES
        ]
        with tempfile.TemporaryDirectory() as scratch:
            cache = DiskCache(Path(scratch))
            chain.solve(blocks[:10], moment, 0.01, cache=cache)
            warm, quick = timed(lambda: chain.solve(blocks, moment, 0.01, cache=cache), 1)  # noqa: B023
        cold, slow = timed(lambda: chain.solve(blocks, moment, 0.01), 1)  # noqa: B023
        assert warm.right.tobytes() == cold.right.tobytes()
        joined = [np.hstack([getattr(b, part) for b in blocks]) for part in ("keys", "targets")]
        weights = np.concatenate([b.weights for b in blocks])
        other, joint = timed(lambda: ridge.solve(joined[0], joined[1], weights, moment, 0.01), 1)  # noqa: B023
        off = np.linalg.norm(warm.right - other.right) / np.linalg.norm(other.right)
        yield f"| {name} | {slow:.2f} | {quick:.2f} | {joint:.2f} | {off:.0e} |"


def update() -> Iterator[str]:
    """One factorisation of G against one update of the factor that is there, and against reading it from a file."""
    ranks = (1, 16, 64, 256)
    yield "| d | new Cholesky | read the factor | " + " | ".join(f"update, k = {k}" for k in ranks) + " |"
    yield "|---" * (len(ranks) + 3) + "|"
    for d in (768, 2048, 4096):
        rng = np.random.default_rng(d)
        columns = rng.normal(size=(d, 256))
        normal = np.eye(d) + columns @ columns.T
        lower, anew = timed(lambda: ridge.cholesky(normal))  # noqa: B023
        with tempfile.TemporaryDirectory() as scratch:
            disk = DiskCache(Path(scratch))
            disk.put("it", {"it": lower})
            _, read = timed(lambda: np.asfortranarray(disk.get("it")["it"]))  # noqa: B023
        steps = [timed(lambda: chain.update_factor(lower, columns[:, :k]))[1] for k in ranks]  # noqa: B023
        yield f"| {d} | {anew:.3f} | {read:.3f} | " + " | ".join(f"{seconds:.3f}" for seconds in steps) + " |"


def timed(work: Callable[[], Any], times: int = 2) -> tuple[Any, float]:
    """What `work` gives, and the least CPU seconds that it took."""
    least = np.inf
    for _ in range(times):
        start = process_time()
        found = work()
        least = min(least, process_time() - start)
    return found, float(least)


if __name__ == "__main__":
    main()
