"""What editing costs on checkpoints of true shape: `python -m benchmarks.scale [sd15] [sdxl] [flux]`.

Headers are those of the published models, every tensor in half precision. Only the tensors that are edited hold
(random) values; the rest of each file is a hole, which reads as zeros and takes no disk. Keys are random rows of the
true width, as many a prompt as the real encoder hands out. The build and every apply and revert run in a process of
their own, which tells the peak of its own memory when it ends (VmHWM, which starts anew with a program; the peak that
getrusage tells of a child begins at that of its parent).

`--whole FOLDER` measures `editc build` as a user runs it, warm, on the pipelines with real encoders' shapes that
`benchmarks.true_shapes` put there with `--fill`: medians of five runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from benchmarks.true_shapes import KINDS, Kind, make
from editc.backends.encoders.t5 import representative_rows
from editc.core.delta import Site
from editc.core.manifest import Manifest
from editc.core.places import Source
from editc.core.plan import Plan
from editc.core.ports import Context, EncodedPrompt
from editc.families.images.contexts import CONTEXTS
from editc.formats.delta.container import write_delta
from editc.formats.models.model import open_model
from editc.manifests.decode import decode
from editc.numerics.ball import Ball, unbounded_ball
from editc.passes.emit import Emit
from editc.passes.images.keys.derive import Derive
from editc.passes.images.locate.locate import Locate
from editc.passes.images.solve.record import record_edits
from editc.passes.images.solve.solve import Solve
from editc.passes.images.verify.verify import Verify

LARGEST_COPY = 10_000_000_000
"""A copy has no holes: of larger models only the edit in place is measured."""
TOLD = "VmHWM:"
WITNESSED = """
import atexit, runpy, sys
def tell():
    print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM:")), flush=True)
atexit.register(tell)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Runs a module as `python -m` does, and prints the peak memory of its process when that ends."""
WORDS = "editc: 1\nmodel: {}\nedits:\n  - erase: circle\n    to: square\nconstraints: {{rank: 16}}\n"


@dataclass(frozen=True)
class RandomRows:
    """An encoder without weights: the row of a token is noise seeded by the word, with a tenth as much seeded by the
    prompt up to it, as a causal encoder's would be; padding is one row with a tenth of noise."""

    width: int
    length: int
    standing: bool = False

    alone = False

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        return [self._one(prompt) for prompt in prompts]

    def fingerprint(self) -> str:
        return sha256(f"random {self.width} {self.length}".encode()).hexdigest()

    def bounds(self) -> tuple[Ball, ...]:
        return (unbounded_ball(self.width),)

    def _one(self, prompt: str) -> EncodedPrompt:
        words, start, end = prompt.split(), [-1], [-1]
        for word in words:
            begin = prompt.index(word, max(0, end[-1]))
            start.append(begin)
            end.append(begin + len(word))
        heads = ["", *(" ".join(words[: i + 1]) for i in range(len(words)))]
        places = representative_rows(len(heads) + 1, self.length) if self.standing else range(self.length)
        rest = len(places) - len(heads)
        rows = [self._noise(word) + 0.1 * self._noise(head) for word, head in zip(["", *words], heads, strict=True)]
        padding = self._noise("padding") + 0.1 * self._noise(f"padding of {prompt}", rest)
        spans = tuple([*start, *[-1] * rest]), tuple([*end, *[-1] * rest])
        return EncodedPrompt(prompt, np.vstack([*rows, padding]), tuple(places), *spans, limit=self.length)

    def _noise(self, seed: str, rows: int = 1) -> Any:
        number = int.from_bytes(sha256(seed.encode()).digest()[:8], "big")
        return np.random.default_rng(number).standard_normal((rows, self.width))


def build(kind: Kind, folder: Path, out: Path) -> dict[str, Any]:
    """Every pass on the checkpoint, as `editc build` runs them, with what each read and how long its CPU took."""
    import diffusers  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401  (what a build has in memory besides)

    idle = _peak()
    weights = open_model(folder).component(kind.component)
    ctx = Context(weights, RandomRows(kind.width, kind.length, kind.standing))
    unit: Any = _plan(kind, folder, ctx)
    sites = unit.sites
    corpus = [f"a plain picture of thing number {i} on a table" for i in range(kind.corpus)]
    rows = []
    for step in (Derive(corpus), Solve(), Verify(records=True), Emit("editc scale", record_edits)):
        before, begun = weights.bytes_read, process_time()
        unit = step(unit, ctx)
        rows.append([step.name, weights.bytes_read - before, round(process_time() - begun, 1), _peak()])
        print(rows[-1], file=sys.stderr)
    write_delta(unit, out)
    edited = sum(weights.where(site.name).nbytes for site in sites)
    return {
        "sites": len(sites),
        "edited": edited,
        "passes": rows,
        "idle": idle,
        "rank": len(unit.factors["text"].right[0]),
        "delta": out.stat().st_size,
    }


def _plan(kind: Kind, folder: Path, ctx: Context) -> Plan:
    manifest, found = decode(Source("scale.yaml", WORDS.format(folder)))
    assert manifest is not None, found
    sites = replace(manifest.sites, roles=kind.roles())
    manifest = replace(manifest, sites=sites, contexts=CONTEXTS[: kind.contexts])
    family = kind.family()
    if family.title != kind.name:
        return Locate((family,))(manifest, ctx)
    sites = tuple(_sites(manifest, family, ctx))
    return Plan(manifest, family, str(folder), sites, {site.name: "by name" for site in sites})


def _sites(manifest: Manifest, family: Any, ctx: Context) -> Iterator[Site]:
    for name in ctx.weights.names():
        for role, pattern in family.patterns.items():
            if role in manifest.sites.roles and fnmatchcase(name, pattern):
                rows, columns = ctx.weights.shape(name)
                yield Site(family.component, name, (rows, columns), ctx.weights.dtype(name), role)


def _peak() -> int:
    """Peak resident bytes of this program so far, of which its parent's are no part."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(TOLD))
    return int(line.split()[1]) * 1024


def child(*arguments: str) -> tuple[str, float, int]:
    """Runs Python with these arguments: what it printed, its CPU seconds and its own peak resident bytes."""
    command = [sys.executable, "-c", WITNESSED, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    text, _, peak = process.stdout.read().rpartition(TOLD)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(arguments)} failed")
    return text, usage.ru_utime + usage.ru_stime, int(peak.split()[0]) * 1024


def measure(kind: Kind, folder: Path) -> Iterator[str]:
    """The lines of the page for one model."""
    size = make(kind, folder / "model")
    printed, seconds, peak = child("benchmarks.scale", "--child", kind.name, str(folder))
    made = json.loads(printed)
    yield f"## {kind.name}: {size / 1e9:.2f} GB, {made['sites']} sites, {made['edited'] / 1e6:.1f} MB of them edited\n"
    yield "| step | bytes read | of the file | CPU seconds | peak memory so far |\n|---|---|---|---|---|"
    for name, read, cpu, high in made["passes"]:
        yield f"| {name} | {_mega(read)} | {read / size:.2%} | {cpu} | {_mega(high)} |"
    total = sum(row[1] for row in made["passes"])
    times = total / made["edited"]
    yield f"| whole build | {_mega(total)} ({times:g} times the edited tensors) | | {seconds:.1f} | **{_mega(peak)}** |"
    delta = str(folder / "delta.safetensors")
    for how in (["--in-place"], *([["--out", str(folder / "copy")]] if size < LARGEST_COPY else [])):
        _, seconds, peak = child("editc", "apply", delta, "--to", str(folder / "model"), *how)
        yield f"| apply {how[0]} | | | {seconds:.1f} | **{_mega(peak)}** |"
        if how[0] == "--in-place":
            _, seconds, peak = child("editc", "revert", str(folder / "model"))
            yield f"| revert | | | {seconds:.1f} | {_mega(peak)} |"
    yield f"\nOf the build's memory {_mega(made['idle'])} are the libraries; {kind.corpus} prompts are kept, and keys "
    yield f"come from {kind.contexts} sentences of {kind.length} tokens, each with its target in its place. "
    yield f"Rank {made['rank']}, a delta of {made['delta'] / 1e3:.0f} kB.\n"


def measure_command(name: str, folder: Path, runs: int = 5) -> Iterator[str]:
    """The lines of the page for `editc build` on a pipeline in `folder`, whose cache is warm."""
    os.environ["EDITC_CACHE"] = str(folder / "cache")
    build = ("editc", "build", str(folder / f"{name}.yaml"), "--out", str(folder / f"{name}-out"))
    child(*build)
    found = [child(*build)[1:] for _ in range(runs)]
    seconds, peaks = zip(*found, strict=True)
    yield f"| {name}, warm | {median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f}) | {_mega(max(peaks))} |"


def _mega(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=[])
    parser.add_argument("--child", nargs=2, metavar=("KIND", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--whole", type=Path, metavar="FOLDER", help="measure `editc build` on pipelines made there")
    given = parser.parse_args()
    if given.whole:
        print("| build | CPU seconds | peak memory |\n|---|---|---|")
        for name in given.kinds:
            print(*measure_command(name, given.whole), sep="\n", flush=True)
        return
    if given.child:
        name, folder = given.child
        print(json.dumps(build(KINDS[name], Path(folder) / "model", Path(folder) / "delta.safetensors")))
        return
    for name in given.kinds or KINDS:
        with tempfile.TemporaryDirectory(prefix="editc-scale-") as folder:
            for line in measure(KINDS[name], Path(folder)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
