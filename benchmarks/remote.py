"""How much of a model of 2 GB behind a web server does `apply --dry-run` read?

    python -m benchmarks.remote [--gigabytes 2] [--edited 3]

The checkpoint is sparse: one safetensors file of equal matrices in half precision, of which all but the edited ones are
zeros. The server is one of this process on the loopback interface, with ranges. The bar is the header and 1.05 times
the edited tensors.
"""

from __future__ import annotations

import argparse
import json
import mmap
import struct
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from loopback import Answer, Request, Service, running

from editc.verbs.public import diff, plan_apply

SIDE = 2560
"""Rows and columns of each matrix: 13 MB in half precision."""


class OneFile(Service):
    """A server of one file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        with path.open("rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def answer(self, request: Request) -> Answer:
        return Answer(200, self.data, {"Accept-Ranges": "bytes"}, large=True)  # type: ignore[arg-type]


def name(number: int) -> str:
    return f"down_blocks.0.attentions.{number}.transformer_blocks.0.attn2.to_k.weight"


def write(path: Path, numbers: range, filled: dict[int, bytes]) -> int:
    """Write a sparse checkpoint; returns the size of its header."""
    each = SIDE * SIDE * 2
    rows = {
        name(n): {"dtype": "F16", "shape": [SIDE, SIDE], "data_offsets": [i * each, (i + 1) * each]}
        for i, n in enumerate(numbers)
    }
    head = json.dumps(rows).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for place, number in enumerate(numbers):
            if number in filled:
                file.seek(8 + len(head) + place * each)
                file.write(filled[number])
        file.truncate(8 + len(head) + len(numbers) * each)
    return 8 + len(head)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--edited", type=int, default=3)
    given = parser.parse_args()
    count, rng = round(given.gigabytes * 1e9 / (SIDE * SIDE * 2)), np.random.default_rng(16)
    old = {n: rng.standard_normal((SIDE, SIDE)).astype(np.float16) for n in range(given.edited)}
    step = rng.standard_normal((SIDE, 1)) @ rng.standard_normal((1, SIDE)) * 0.05
    new = {n: (value.astype(np.float64) + step).astype(np.float16) for n, value in old.items()}
    with TemporaryDirectory() as folder:
        small, changed, whole = (Path(folder) / f"{one}.safetensors" for one in ("small", "changed", "whole"))
        write(small, range(given.edited), {n: value.tobytes() for n, value in old.items()})
        write(changed, range(given.edited), {n: value.tobytes() for n, value in new.items()})
        header = write(whole, range(count), {n: value.tobytes() for n, value in old.items()})
        diff(small, changed, Path(folder) / "delta.safetensors")
        with running(OneFile(whole)) as server:
            wall, cpu = time.perf_counter(), time.process_time()
            plan = plan_apply(Path(folder) / "delta.safetensors", f"http://{server.base}/whole.safetensors")
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        edited = sum(target.tensor.nbytes for target in plan.targets)
        bar = header + 1.05 * edited
        print(f"file {whole.stat().st_size:,} bytes, header {header:,}, edited tensors {edited:,} ({plan.tier})")
        print(f"read {server.sent:,} bytes, bar {bar:,.0f}: {'met' if server.sent <= bar else 'NOT MET'}")
        print(f"{cpu:.1f} CPU seconds with the server's, {wall:.1f} s")


if __name__ == "__main__":
    main()
