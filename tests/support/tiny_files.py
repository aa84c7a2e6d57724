"""Pico models and hostile files: everything the tests of formats/ need, made in memory, no torch."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Delta, Factors, Form, Site
from editc.core.diagnostics import EditcError
from editc.core.site_bytes import site_record, stored_shape
from editc.formats.delta.container import from_bytes, to_bytes
from editc.formats.models.fingerprint import encoder_fingerprint
from editc.formats.models.model import Model, open_model
from editc.numerics.bits import dtypes

Stored = Mapping[str, tuple[str, tuple[int, ...], bytes]]

WIDTH = 6
HEIGHTS = (4, 5)
KEYS = tuple(f"down.{i}.attn2.to_{role}.weight" for i in range(len(HEIGHTS)) for role in ("k", "v"))


def pack(parts: Stored, metadata: Mapping[str, str] | None = None, pad: bytes = b" ") -> bytes:
    """A well-formed safetensors file, its tensors in the order given."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    body = b""
    for name, (dtype, shape, raw) in parts.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    return frame(json.dumps(header).encode(), body, pad)


def frame(header: bytes, body: bytes = b"", pad: bytes = b" ") -> bytes:
    """A file from header bytes that may be anything."""
    header += pad * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + body


def random_tensor(seed: int, dtype: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...], bytes]:
    """Values between -2 and 2 in `dtype`."""
    return dtype, shape, dtypes.encode(noise(seed, shape), dtype)


def noise(seed: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Numbers between -2 and 2 with 32 bits each, the same with every version of numpy."""
    count = int(np.prod(shape))
    blocks = (hashlib.sha256(f"{seed}/{i}".encode()).digest() for i in range(-(-count // 8)))
    return np.frombuffer(b"".join(blocks), "<i4")[:count].reshape(shape) / 2.0**30


def unet(dtype: str = "F32", seed: int = 0, drift: float = 0.0) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """A component with four editable projections and three tensors that nothing may touch; with `drift` a fine-tune
    of the one without, whose projections are moved by about that share of their norm."""
    parts = {"conv_in.weight": random_tensor(seed + 90, dtype, (2, 3, 1, 1)), "steps": ("I64", (2,), b"\1" * 16)}
    for i, height in enumerate(HEIGHTS):
        for j, role in enumerate(("k", "v")):
            name = f"down.{i}.attn2.to_{role}.weight"
            moved = noise(seed + 2 * i + j, (height, WIDTH)) + drift * noise(seed + 2 * i + j + 500, (height, WIDTH))
            parts[name] = dtype, (height, WIDTH), dtypes.encode(moved, dtype)
    parts["out.bias"] = random_tensor(seed + 91, dtype, (3,))
    return parts


def write_pipeline(
    folder: Path, dtype: str = "F32", seed: int = 0, shards: int = 1, encoder_seed: int = 7, drift: float = 0.0
) -> Path:
    """A diffusers-shaped folder: unet, text_encoder, tokenizer, and files that are copied as they are."""
    (folder / "unet").mkdir(parents=True)
    write_component(folder / "unet", unet(dtype, seed, drift), shards)
    (folder / "text_encoder").mkdir()
    parts = {"embed.weight": random_tensor(encoder_seed, "F32", (5, WIDTH)), "ids": ("I64", (1,), b"\0" * 8)}
    (folder / "text_encoder" / "model.safetensors").write_bytes(pack(parts))
    (folder / "text_encoder" / "config.json").write_text('{"hidden_act":"quick_gelu","torch_dtype":"float32"}')
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.json").write_text('{"a":0,"b":1}')
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\na b\n")
    (folder / "model_index.json").write_text('{"unet":["diffusers","UNet2DConditionModel"]}')
    (folder / "README.md").write_text("pico\n")
    return folder


def write_component(folder: Path, parts: Stored, shards: int = 1) -> None:
    """One file, or shards with their index."""
    if shards == 1:
        (folder / "diffusion_pytorch_model.safetensors").write_bytes(pack(parts, {"format": "pt"}))
        return
    names, table = list(parts), dict[str, str]()
    for i in range(shards):
        file = f"diffusion_pytorch_model-{i + 1:05d}-of-{shards:05d}.safetensors"
        (folder / file).write_bytes(pack({name: parts[name] for name in names[i::shards]}, {"format": "pt"}))
        table |= dict.fromkeys(names[i::shards], file)
    index = {"metadata": {"total_size": 1}, "weight_map": table}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def factors_for(form: Form, sites: Sequence[Site], seed: int = 3, rank: int = 2, size: float = 0.3) -> Factors:
    """Random float32 factors of that form for all of `sites`."""
    seeds = itertools.count(1000 * seed)

    def part(*shape: int) -> Any:
        return (size * noise(next(seeds), shape)).astype(np.float32)

    indices, width = tuple(range(len(sites))), sites[0].shape[1]
    if form == "shared":
        return Factors(form, indices, (part(width, rank),), (part(rank, width),))
    if form == "dense":
        return Factors(form, indices, tuple(part(*site.shape) for site in sites), ())
    if form == "xor":
        change = part(sum(8 * site.shape[0] * site.shape[1] for site in sites)).view(np.uint8) & 0x80
        sizes = [site.shape[0] * site.shape[1] * dtypes.BITS[site.dtype] // 8 for site in sites]
        ends = list(itertools.accumulate(sizes))
        raw = [change[end - size : end].tobytes() for end, size in zip(ends, sizes, strict=True)]
        return Factors(form, indices, (), (), tuple(np.frombuffer(b"\0" + one, np.uint8) for one in raw))
    left = tuple(part(site.shape[0], rank) for site in sites)
    return Factors(form, indices, left, tuple(part(rank, width) for _ in sites))


def delta_for(
    model: Model, form: Form = "shared", names: Sequence[str] = KEYS, component: str = "unet", **options: Any
) -> Delta:
    """A delta over those tensors of `model`, with its `delta_id`."""
    weights = model.component(component)
    sites = [
        Site(component, name, tuple(weights.shape(name)), weights.dtype(name), name[-8:-7])  # type: ignore[arg-type]
        for name in names
    ]
    return delta_of(model, sites, factors_for(form, sites, **options))


def delta_of(model: Model, sites: Sequence[Site], factors: Factors) -> Delta:
    """A delta from sites and factors, its hashes taken from the weights."""
    weights = model.component(sites[0].component)
    records = []
    for k, site in enumerate(sites):
        assert weights.shape(site.name) == stored_shape(site)
        records.append(site_record(site, weights.read(site.name), factors, k))
    return sealed(
        Delta(
            family="pico",
            sites=tuple(records),
            factors={"text": factors},
            encoder=encoder_fingerprint(model),
            manifest="editc: 1\n# caf\u00e9\n",
            manifest_digest="d" * 64,
            edits=({"kind": "erase", "concept": "circle", "method": "uce", "strength": 1.0},),
            claims=({"name": "erase_residual", "value": 0.125, "bound": 0.2},),
            tool="editc 0",
        )
    )


def sealed(delta: Delta) -> Delta:
    """The delta as it comes back from its own bytes."""
    return from_bytes(to_bytes(replace(delta, delta_id="")))


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Everything under a folder: bytes and time of change of files, the names of folders."""
    paths = sorted(folder.rglob("*"))
    found = {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in paths if p.is_file()}
    return found | {f"{p.relative_to(folder)}/": (b"", 0) for p in paths if p.is_dir()}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, without what editc keeps for itself."""
    return {name: raw for name, (raw, _) in tree(folder).items() if not name.startswith(".editc")}


def pipeline(folder: Path, **options: Any) -> Model:
    """`write_pipeline`, opened."""
    return open_model(write_pipeline(folder, **options))


@contextmanager
def refused(*codes: str) -> Iterator[EditcError]:
    """Expects an EditcError with exactly these codes; yields the error, filled in afterwards."""
    found = EditcError()
    try:
        yield found
    except EditcError as error:
        found.diagnostics = error.diagnostics
        assert {d.code for d in error.diagnostics} == set(codes), str(error)
        assert all(d.message for d in error.diagnostics)
        return
    raise AssertionError(f"expected {codes}, but nothing was refused")
