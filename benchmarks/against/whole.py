"""A whole command of each side on one pipeline: the published script in our own words, and `editc build`.

The published side loads the UNet and the text encoder in float32 and encodes one text after another. The pipelines
of `benchmarks.true_shapes` have no VAE and no safety checker, which the published scripts load besides.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.against.problem import RIDGE, Case
from benchmarks.scale import child

RUNS = 1
"""Warm builds whose median is taken."""
FILL = "import pathlib, sys; from benchmarks.true_shapes import fill; fill(*map(pathlib.Path, sys.argv[1:]))"
"""Fills the cache with rows of the encoder's first block alone: the rows of random weights are noise either way."""
COLOURS = ("red", "green", "blue", "white", "black", "yellow", "brown", "grey", "pink", "old")
THINGS = ("car", "boat", "lamp", "chair", "horse", "bird", "bridge", "clock", "tower", "shoe", "river")


def names(case: Case) -> tuple[list[str], list[str]]:
    """The names that are edited and those that are preserved."""
    every = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS]
    return every[: case.concepts], every[case.concepts : case.keys]


def published(case: Case, folder: Path) -> dict[str, Any]:
    """UCE of 2025 from the pipeline on disk to the new matrices on disk."""
    import torch
    from safetensors.torch import save_file

    from benchmarks.against.published import Clock, uce_2025

    torch.set_grad_enabled(False)
    unet, encode = _pipeline(folder)
    layers = {name: layer for name, layer in unet.named_modules() if name.endswith(("attn2.to_k", "attn2.to_v"))}
    erased, kept = names(case)
    guide = encode("")
    edits = [(encode(name), guide) for name in erased]
    clock = Clock(dict.fromkeys(range(len(layers)), 1))
    uce_2025(list(layers.values()), edits, [encode(name) for name in kept], clock)
    out = folder.parent / "published.safetensors"
    save_file({f"{name}.weight": layer.weight.data.contiguous() for name, layer in layers.items()}, out)
    return {"seconds": clock.seconds, "bytes": out.stat().st_size, "ridge": RIDGE}


def _pipeline(folder: Path) -> tuple[Any, Any]:
    """The UNet, and what encodes a text to its last subject row (d,)."""
    import torch
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")

    def encode(text: str) -> Any:
        found = tokenizer(text, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        return encoder(found.input_ids)[0][0, int(found.attention_mask.sum()) - 2]

    return unet, encode


def manifest(case: Case, folder: Path) -> Path:
    """A manifest of the same edit beside the pipeline: the published keys, and no other prompts preserved."""
    erased, kept = names(case)
    lines = ["editc: 1", f"model: {folder.name}", 'contexts: ["{}"]', "edits:"]
    for name in erased:
        lines += [f"  - erase: {name}", "    method: uce", "    keys: last"]
    lines += ["preserve:", "  corpus: none", *(["  concepts:", *(f"    - {name}" for name in kept)] if kept else [])]
    file = folder.parent / f"against-{case.concepts}-{case.preserved}.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file


def build(case: Case, folder: Path) -> dict[str, Any]:
    """`editc build` as it is typed, with a warm cache."""
    file = manifest(case, folder)
    os.environ["EDITC_CACHE"] = str(folder.parent / "cache")
    out = file.with_suffix(".out")
    subprocess.run([sys.executable, "-c", FILL, str(file), str(out)], check=True)
    runs = [child("editc", "build", str(file), "--out", str(out)) for _ in range(RUNS)]
    delta = max(out.glob("*.safetensors"), key=lambda path: path.stat().st_size)
    warm, peaks = median(seconds for _, seconds, _ in runs), [peak for _, _, peak in runs]
    return {"process": warm, "peak": max(peaks), "bytes": delta.stat().st_size}
