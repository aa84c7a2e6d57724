"""kill -9 at random moments of an in-place apply: `python -m benchmarks.crash [--load small] [--kills 20]`.

Each time `editc status` is asked, and then `editc revert` or the same `editc apply` again: afterwards every weight file
must have the sha256 of one of the two valid states, and no trace of the killed run may be left.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

import numpy as np
from command import editc

from benchmarks.inplace import LOADS, delta_for, make


@dataclass(frozen=True)
class Killed:
    """One trial: when it was killed, what was on the disk then, what status said, and how it was mended."""

    at: float
    phase: str
    told: str
    mended: str
    valid: bool


def run(*arguments: str) -> str:
    """An `editc` command to its end, in this process; it must succeed. What it prints."""
    done = editc(*arguments)
    done.check_returncode()
    return done.stdout


def state(model: Path) -> Mapping[str, str]:
    """The sha256 of every file of the model itself."""
    found = {}
    for path in sorted(model.rglob("*")):
        if path.is_file() and ".editc" not in path.relative_to(model).parts:
            with path.open("rb") as stream:
                found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def phase(model: Path) -> str:
    """How far a killed run came, from what it left."""
    if not (model / ".editc").is_dir():
        return "before the journal"
    entries = [path.name for path in (model / ".editc").glob("*") if not path.name.startswith(".")]
    if not entries:
        return "journal"
    return "after the last write" if (model / ".editc" / entries[0] / "done").exists() else "weights"


def trial(model: Path, delta: Path, after: float, base: Mapping[str, str], result: Mapping[str, str], n: int) -> Killed:
    """Applies, kills, asks status, and mends by revert (even `n`) or by applying again (odd).

    `after` seconds are counted from the start; every third time from when the journal begins, and every third time a
    tenth of them from when it is complete, which is when the weights are written: that is the shortest phase.
    """
    apply = ("apply", str(delta), "--to", str(model), "--in-place")
    awaited = (None, ".editc/.new-*", ".editc/0*")[n % 3]
    with subprocess.Popen([sys.executable, "-m", "editc", *apply], stdout=subprocess.DEVNULL) as process:
        while awaited and process.poll() is None and not any(model.glob(awaited)):
            sleep(0.0005)
        sleep((1, 0.5, 0.1)[n % 3] * after)
        process.send_signal(signal.SIGKILL)
    seen, now = phase(model), state(model)
    answer = json.loads(run("status", str(model), "--delta", str(delta), "--json"))
    told = "interrupted" if answer["status"] == "interrupted" else answer["deltas"][0]["state"]
    truth = {"weights": "interrupted", "after the last write": "applied"}.get(seen, "not applied")
    if n % 2:
        run(*apply)
        valid = state(model) == result
        run("revert", str(model))
    else:
        if seen in ("weights", "after the last write"):
            run("revert", str(model))
        valid = state(model) == base and (seen in ("weights", "after the last write") or now == base)
    left = state(model) == base and (seen == "journal" or not (model / ".editc").exists())
    if (model / ".editc").exists():
        run("revert", str(model))
    return Killed(after, seen, told, "apply" if n % 2 else "revert", valid and left and told == truth)


def trials(model: Path, delta: Path, kills: int, seed: int = 0) -> list[Killed]:
    """Kills at random moments, as `trial` counts them, of the time that a whole apply takes."""
    base, rng = state(model), np.random.default_rng(seed)
    begun = perf_counter()
    subprocess.run([sys.executable, "-m", "editc", "apply", str(delta), "--to", str(model), "--in-place"], check=True)
    whole, result = perf_counter() - begun, state(model)
    run("revert", str(model))
    assert state(model) == base != result
    moments = rng.uniform(0, 1, kills) * whole
    return [trial(model, delta, float(after), base, result, n) for n, after in enumerate(moments)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", choices=LOADS, default="small")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="editc-crash-") as folder:
        model = make(Path(folder) / "model", LOADS[given.load], given.shards)
        delta = Path(folder) / "delta.safetensors"
        delta_for(model, LOADS[given.load], delta)
        found = trials(model, delta, given.kills)
    print("| killed in phase | kills | status said | mended by | valid by sha256 |\n|---|---|---|---|---|")
    for row, count in sorted(Counter((k.phase, k.told, k.mended, k.valid) for k in found).items()):
        print(f"| {row[0]} | {count} | {row[1]} | {row[2]} | {'yes' if row[3] else '**no**'} |")
    if not all(kill.valid for kill in found):
        raise SystemExit(f"not all are valid: {found}")


if __name__ == "__main__":
    main()
