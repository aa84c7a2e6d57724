"""What editing costs on checkpoints of true shape: `python -m benchmarks.scale [sdxl] [flux]`.

Headers are those of the published models, every tensor in bfloat16; only the tensors that are edited hold (random)
values, the rest of each file is a hole, which reads as zeros and takes no disk. Keys are random rows of the true
width, as many a prompt as the real encoder hands out. The build and every apply and revert run in a process of their
own, which tells the peak of its own memory when it ends (VmHWM, which starts anew with a program; the peak that
getrusage tells of a child begins at that of its parent).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from math import prod
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from editc.backends.encoders.t5 import representative_rows
from editc.core.delta import Site
from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.places import Source
from editc.core.plan import Plan
from editc.core.ports import Context, EncodedPrompt
from editc.families.images.contexts import CONTEXTS
from editc.formats.delta.container import write_delta
from editc.formats.models.model import open_model
from editc.manifests.decode import decode
from editc.numerics.bits import dtypes
from editc.numerics.trust import Ball, unbounded_ball
from editc.passes.emit import Emit
from editc.passes.images.keys.derive import Derive
from editc.passes.images.locate.locate import Locate
from editc.passes.images.solve.record import record_edits
from editc.passes.images.solve.solve import Solve
from editc.passes.images.verify.verify import Verify
from editc.registry.families import FAMILIES

SHARD = 10_000_000_000
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
STAND_IN = Family("", "", "unet", {}, None, None, "", "uce", CONTEXTS)
WORDS = "editc: 1\nmodel: {}\nedits:\n  - erase: circle\n    to: square\nconstraints: {{rank: 16}}\n"


@dataclass(frozen=True)
class Kind:
    """A published model: its diffusers class and settings, and how its encoder's rows are shaped.

    The family is the registry's where it has one of that name, else a stand-in with `patterns`. `corpus` is how many
    prompts are kept, `contexts` of how many sentences the keys are. `standing`: of the padding the rows that T5
    unmasked hands out (`encoders.t5.standing`), and not all of them.
    """

    name: str
    component: str
    module: str
    settings: Mapping[str, Any]
    patterns: Mapping[str, str]
    width: int
    length: int
    corpus: int
    contexts: int
    standing: bool = False

    def family(self) -> Family:
        if self.name in FAMILIES.names("image"):
            found: Family = FAMILIES.resolve(self.name)
            return found
        return replace(STAND_IN, name=self.name, title=self.name, component=self.component, patterns=self.patterns)

    def roles(self) -> tuple[str, ...]:
        return tuple(getattr(self.family(), "default_roles", self.patterns))


KINDS = {
    "sdxl": Kind(
        "sdxl",
        "unet",
        "UNet2DConditionModel",
        {
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": [1, 2, 10],
            "attention_head_dim": [5, 10, 20],
            "cross_attention_dim": 2048,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
            "use_linear_projection": True,
        },
        {"k": "*.attn2.to_k.weight", "v": "*.attn2.to_v.weight"},
        2048,
        77,
        500,
        36,
    ),
    "flux": Kind(
        "flux",
        "transformer",
        "FluxTransformer2DModel",
        {"guidance_embeds": True},
        {"entry": "context_embedder.weight"},
        4096,
        512,
        500,
        36,
        True,
    ),
}


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


def header(kind: Kind) -> dict[str, tuple[int, ...]]:
    """Every parameter's shape, from the real class without its weights."""
    import diffusers
    import torch

    with torch.device("meta"):
        model = getattr(diffusers, kind.module)(**kind.settings)
    return {name: tuple(value.shape) for name, value in sorted(model.state_dict().items())}


def make(kind: Kind, folder: Path, seed: int = 0) -> int:
    """The checkpoint under `folder`, in shards of at most 10 GB; returns its bytes. The header comes from a process of
    its own, so that this one stays small."""
    printed, _, _ = child("benchmarks.scale", "--header", kind.name)
    shapes, place = {name: tuple(shape) for name, shape in json.loads(printed).items()}, folder / kind.component
    place.mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    for name, shape in shapes.items():
        if sum(2 * prod(s) for s in shards[-1].values()) + 2 * prod(shape) > SHARD:
            shards.append({})
        shards[-1][name] = shape
    stem = "diffusion_pytorch_model"
    files = [f"{stem}-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    if len(shards) == 1:
        files = [f"{stem}.safetensors"]
    else:
        table = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
        (place / f"{stem}.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    rng = np.random.default_rng(seed)
    return sum(_write(place / file, shard, kind, rng) for file, shard in zip(files, shards, strict=True))


def _write(file: Path, shapes: Mapping[str, tuple[int, ...]], kind: Kind, rng: np.random.Generator) -> int:
    """A file of holes with values in the edited tensors."""
    head, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + 2 * prod(shape)
        head[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(head).encode()
    start = 8 + len(text)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(start + offset)
        for name, shape in shapes.items():
            if any(fnmatchcase(name, pattern) for pattern in kind.patterns.values()):
                stream.seek(start + head[name]["data_offsets"][0])
                stream.write(dtypes.encode(rng.normal(size=shape, scale=0.03), "BF16"))
    return start + offset


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
    for step in (Derive(corpus), Solve(), Verify(), Emit("editc scale", record_edits)):
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


def _sites(manifest: Manifest, family: Family, ctx: Context) -> Iterator[Site]:
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


def _mega(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=[])
    parser.add_argument("--child", nargs=2, metavar=("KIND", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--header", metavar="KIND", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.header:
        print(json.dumps(header(KINDS[given.header])))
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
