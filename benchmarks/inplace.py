"""What applying costs on a checkpoint of 2 GB: `python -m benchmarks.inplace [--rounds N]`.

A float16 UNet with the names of SD 1.5 and SDXL, every tensor with real values, as one file and in shards, and a delta
of 64 targets (shared form, rank 8). `editc apply` runs in a process of its own, and every figure is paired: `cp` and
`sync` of the same file just before it, a median over the rounds. Bytes are what the kernel says the process wrote.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from editc.core.delta import Delta, Factors, Site
from editc.core.site_bytes import site_record
from editc.formats.delta.container import write_delta
from editc.formats.models.model import open_model

SIZE = 2_000_000_000
RANK = 8
STEM = "diffusion_pytorch_model"
WATCHED = (
    "import os, sys\n"
    "if os.environ.get('EDITC_NO_SYNC'):\n    os.fsync = os.posix_fadvise = lambda *given: None\n"
    "from editc.cli import cli\nfrom editc.cli.terminal import run_command\n"
    "code = run_command(cli, sys.argv[1:])\n"
    "lines = open('/proc/self/status').read() + open('/proc/self/io').read()\n"
    "print(lines, file=sys.stderr)\nsys.exit(code)\n"
)
"""The command, and then what the kernel says of its own process: a child's ru_maxrss would start at the parent's."""


@dataclass(frozen=True)
class Load:
    """A set of targets: how many pairs (to_k, to_v) of each height, and how wide they are."""

    title: str
    pairs: Mapping[int, int]
    width: int

    def shapes(self) -> dict[str, tuple[int, int]]:
        heights = [height for height, count in self.pairs.items() for _ in range(count)]
        names = (f"down_blocks.{i % 4}.attentions.{i // 4}.transformer_blocks.0.attn2" for i in range(len(heights)))
        return {
            f"{name}.to_{role}.weight": (height, self.width)
            for name, height in zip(names, heights, strict=True)
            for role in ("k", "v")
        }


LOADS = {
    "small": Load("64 targets: 20 pairs 320, 9 pairs 640, 3 pairs 1280, all x 768", {320: 20, 640: 9, 1280: 3}, 768),
    "sd15": Load("64 targets, SD 1.5's own mix twice: 10, 10, 12 pairs", {320: 10, 640: 10, 1280: 12}, 768),
    "sdxl": Load("140 targets, SDXL's own: 20 pairs 640, 50 pairs 1280, all x 2048", {640: 20, 1280: 50}, 2048),
}


def make(folder: Path, load: Load, shards: int) -> Path:
    """The checkpoint: the targets, spread between tensors of other layers that fill it up to 2 GB."""
    folder.mkdir(parents=True)
    shapes: dict[str, tuple[int, ...]] = {}
    filler = (SIZE - 2 * sum(prod(shape) for shape in load.shapes().values())) // (2 * 1280 * 1280)
    between = -(-filler // len(load.shapes()))
    for i, (name, shape) in enumerate(load.shapes().items()):
        shapes[name] = shape
        for j in range(i * between, min(filler, (i + 1) * between)):
            shapes[f"up_blocks.{j % 4}.resnets.{j // 4}.conv1.weight"] = (1280, 1280)
    parts: list[dict[str, tuple[int, ...]]] = [{} for _ in range(shards)]
    names = list(shapes)
    for i, name in enumerate(names):
        parts[i * shards // len(names)][name] = shapes[name]
    rng = np.random.default_rng(0)
    files = [f"{STEM}-{i + 1:05d}-of-{shards:05d}.safetensors" for i in range(shards)]
    if shards == 1:
        files = [f"{STEM}.safetensors"]
    else:
        table = {name: file for file, part in zip(files, parts, strict=True) for name in part}
        (folder / f"{STEM}.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    for file, part in zip(files, parts, strict=True):
        _write(folder / file, part, rng)
    return folder


def _write(file: Path, shapes: Mapping[str, tuple[int, ...]], rng: np.random.Generator) -> None:
    head, offset = {}, 0
    for name, shape in shapes.items():
        head[name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + 2 * prod(shape)]}
        offset += 2 * prod(shape)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            stream.write((0.03 * rng.standard_normal(shape, np.float32)).astype("<f2").tobytes())


def delta_for(model: Path, load: Load, out: Path) -> Delta:
    """A delta of the shared form that moves every weight by some percent."""
    rng, weights = np.random.default_rng(1), open_model(model).component()
    sites = [Site("unet", name, shape, "F16", name[-8]) for name, shape in load.shapes().items()]
    sizes = (load.width, RANK), (RANK, load.width)
    left, right = ((0.1 * rng.standard_normal(shape, np.float32) / 4).astype(np.float32) for shape in sizes)
    factors = Factors("shared", tuple(range(len(sites))), (left,), (right,))
    records = tuple(site_record(site, weights.read(site.name), factors, k) for k, site in enumerate(sites))
    delta = Delta("sd1", records, {"text": factors}, "", "editc: 1\n", "0" * 64, ({"concept": "circle"},), (), "editc")
    return write_delta(delta, out)


def editc(*arguments: str, sync: bool = True) -> tuple[float, Mapping[str, int]]:
    """Seconds of an `editc` command with the start of its process, and the kernel's figures, in bytes. Python has its
    bytecode, as it has after an installation."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **({} if sync else {"EDITC_NO_SYNC": "1"})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = _bytecode()
    begun = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *arguments], env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    seconds = perf_counter() - begun
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    lines = [line.split() for line in done.stderr.decode().splitlines()]
    found = {line[0]: int(line[1]) for line in lines if line and line[0] in ("VmHWM:", "write_bytes:", "wchar:")}
    return seconds, {"peak": found["VmHWM:"] * 1024, "written": found["write_bytes:"], "asked": found["wchar:"]}


@cache
def _bytecode() -> str:
    """A folder for it; the first command fills it."""
    folder = tempfile.mkdtemp(prefix="editc-bytecode-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def copied(source: Path, target: Path, sync: bool) -> float:
    """Seconds of `cp` of the weight files, followed by `sync` of the copies."""
    target.mkdir()
    names = [str(path) for path in sorted(source.glob("*.safetensors*")) if path.is_file()]
    begun = perf_counter()
    subprocess.run(["cp", *names, str(target)], check=True)
    if sync:
        subprocess.run(["sync", *map(str, target.iterdir())], check=True)
    seconds = perf_counter() - begun
    shutil.rmtree(target)
    os.sync()
    return seconds


def in_place(model: Path, delta: Path, rounds: int) -> Mapping[str, Any]:
    """Apply in place, then revert, each beside `cp` and `sync`."""
    rows = []
    for _ in range(rounds):
        cp = copied(model, model.with_name("cp"), True)
        seconds, found = editc("apply", str(delta), "--to", str(model), "--in-place")
        journal = sum(path.stat().st_size for path in (model / ".editc").rglob("*") if path.is_file())
        back, _ = editc("revert", str(model))
        os.sync()
        rows.append((seconds / cp, seconds, cp, found["written"], found["peak"], journal, back))
    names = ("ratio", "seconds", "cp", "written", "peak", "journal", "revert")
    return {name: median(row[i] for row in rows) for i, name in enumerate(names)}


def out_of_place(model: Path, delta: Path, rounds: int, sync: bool) -> Mapping[str, Any]:
    """Apply to a copy beside `cp`, both with or both without waiting for the disk."""
    rows, out = [], model.with_name("out")
    for _ in range(rounds):
        cp = copied(model, model.with_name("cp"), sync)
        seconds, found = editc("apply", str(delta), "--to", str(model), "--out", str(out), sync=sync)
        shutil.rmtree(out)
        os.sync()
        rows.append((cp / seconds, seconds, cp, found["peak"]))
    return {name: median(row[i] for row in rows) for i, name in enumerate(("speed", "seconds", "cp", "peak"))}


def measure(name: str, shards: int, rounds: int, folder: Path) -> Iterator[str]:
    """The lines of the page for one load."""
    load, model = LOADS[name], make(folder / "model", LOADS[name], shards)
    delta_for(model, load, folder / "delta.safetensors")
    size = sum(path.stat().st_size for path in model.iterdir())
    edited = 2 * sum(prod(shape) for shape in load.shapes().values())
    editc("apply", str(folder / "delta.safetensors"), "--to", str(model), "--in-place")  # the first: bytecode is made
    editc("revert", str(model))
    os.sync()
    found = in_place(model, folder / "delta.safetensors", rounds)
    head = f"{load.title}; {shards} file{'s' * (shards > 1)}"
    yield (
        f"| {head} | {_mega(size)} | {_mega(edited)} | {_mega(found['written'])} | {found['seconds']:.2f} s | "
        f"{found['cp']:.2f} s | **{found['ratio']:.2f}** | {_mega(found['peak'])} | {found['revert']:.2f} s |"
    )
    for sync in (True, False):
        out = out_of_place(model, folder / "delta.safetensors", rounds, sync)
        how = "with sync" if sync else "without"
        speed = f"{out['speed']:.2f} of cp's speed"
        yield f"| --out, {how} | | | | {out['seconds']:.2f} s | {out['cp']:.2f} s | {speed} | {_mega(out['peak'])} | |"


def _mega(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=f"some of {', '.join(LOADS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shards", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--folder", type=Path, default=None, help="where the files go [default: the temporary folder]")
    given = parser.parse_args(arguments)
    print("| targets | checkpoint | edited | written | in place | cp + sync | ratio | peak memory | revert |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in given.loads or LOADS:
        for shards in given.shards:
            with tempfile.TemporaryDirectory(prefix="editc-inplace-", dir=given.folder) as folder:
                for line in measure(name, shards, given.rounds, Path(folder)):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
