"""Pipelines of true shape: `python -m benchmarks.true_shapes FOLDER sd15 sdxl --vocabulary MERGES [--fill]`.

Headers are those of the published models. Only the tensors that a build edits and the text encoders hold (random)
values; the rest of each file is a hole, which reads as zeros and takes no disk. CLIP's tokenizer is the real one, made
from the list of merges that the package `open_clip_torch` carries (bpe_simple_vocab_16e6.txt.gz). `--fill` then builds
each manifest once, with the first block of each encoder, so that the cache (`EDITC_CACHE`) is warm: the rows of
random weights are noise either way.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from editc.backends.encoders.clip_text import PROJECTION, ClipText, Settings
from editc.core.family import Family
from editc.families.images.contexts import CONTEXTS
from editc.numerics.bits import dtypes
from editc.opening.default_list import OWN_CORPUS, everyday_prompts
from editc.registry.families import FAMILIES

SHARD = 10_000_000_000
"""Bytes of a file at most."""
STAND_IN = Family("", "", "unet", {}, None, None, "", "uce", CONTEXTS)
CLIP_L = {
    "architectures": ["CLIPTextModel"],
    "model_type": "clip_text_model",
    **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    **{"vocab_size": 49408, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
    **{"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "projection_dim": 768},
}
BIG_G = {
    **CLIP_L,
    "architectures": ["CLIPTextModelWithProjection"],
    **{"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20},
    **{"hidden_act": "gelu", "projection_dim": 1280},
}
MANIFEST = "editc: 1\nmodel: {}\nedits:\n  - erase: circle\n    to: square\n"
FILLED_BLOCKS = 1
"""Blocks of an encoder that `--fill` runs."""


@dataclass(frozen=True)
class Kind:
    """A published model: its diffusers class and settings, and how its encoder's rows are shaped.

    The family is the registry's where it has one of that name, or of `known_as`, else a stand-in with `patterns`.
    `corpus` is how many prompts are kept, `contexts` of how many sentences the keys are. `standing`: of the padding the
    rows that T5 unmasked hands out (`encoders.t5.standing`), and not all of them.
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
    dtype: str = "BF16"
    encoders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pipeline: str = ""
    known_as: str = ""

    def family(self) -> Family:
        name = self.known_as or self.name
        if name in FAMILIES.names("image"):
            found: Family = FAMILIES.resolve(name)
            return found
        return replace(STAND_IN, name=self.name, title=self.name, component=self.component, patterns=self.patterns)

    def roles(self) -> tuple[str, ...]:
        return tuple(getattr(self.family(), "default_roles", self.patterns))


CROSS = {"k": "*.attn2.to_k.weight", "v": "*.attn2.to_v.weight"}
KINDS = {
    "sd15": Kind(
        "sd15",
        "unet",
        "UNet2DConditionModel",
        {"sample_size": 64, "cross_attention_dim": 768},
        CROSS,
        768,
        77,
        500,
        36,
        dtype="F16",
        encoders={"text_encoder": CLIP_L},
        pipeline="StableDiffusionPipeline",
        known_as="sd1",
    ),
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
        CROSS,
        2048,
        77,
        500,
        36,
        dtype="F16",
        encoders={"text_encoder": CLIP_L, "text_encoder_2": BIG_G},
        pipeline="StableDiffusionXLPipeline",
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
        pipeline="FluxPipeline",
    ),
}


def header(kind: Kind) -> dict[str, tuple[int, ...]]:
    """Every parameter's shape, from the real class without its weights."""
    import diffusers
    import torch

    with torch.device("meta"):
        model = getattr(diffusers, kind.module)(**kind.settings)
    return {name: tuple(value.shape) for name, value in sorted(model.state_dict().items())}


def make(kind: Kind, folder: Path, seed: int = 0) -> int:
    """The edited component under `folder`, in shards of at most 10 GB; returns its bytes. The header comes from a
    process of its own, so that this one stays small."""
    command = [sys.executable, "-m", "benchmarks.true_shapes", "--header", kind.name]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    shapes, place = {name: tuple(shape) for name, shape in json.loads(printed).items()}, folder / kind.component
    place.mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": kind.pipeline}))
    (place / "config.json").write_text(json.dumps({"_class_name": kind.module, **kind.settings}))
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

    def values(name: str, shape: tuple[int, ...]) -> Any:
        edited = any(fnmatchcase(name, pattern) for pattern in kind.patterns.values())
        return rng.normal(size=shape, scale=0.03) if edited else None

    return sum(_write(place / file, shard, kind.dtype, values) for file, shard in zip(files, shards, strict=True))


def make_encoders(kind: Kind, folder: Path, merges: Path, seed: int = 1) -> None:
    """The text encoders of a pipeline, in F16 with random weights, each with CLIP's tokenizer."""
    rng = np.random.default_rng(seed)
    for part, config in kind.encoders.items():
        place = folder / part
        place.mkdir()
        (place / "config.json").write_text(json.dumps(config))
        shapes = Settings.of(config, "WithProjection" in config["architectures"][0]).shapes()
        named = {name if name == PROJECTION else f"text_model.{name}": shapes[name] for name in sorted(shapes)}
        _write(place / "model.safetensors", named, "F16", lambda name, shape: _parameter(rng, name, shape))
        padding = "<|endoftext|>" if part == "text_encoder" else "!"
        make_tokenizer(folder / part.replace("text_encoder", "tokenizer"), merges, padding)


def _parameter(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Any:
    """A parameter as CLIP's are initialised, by and large."""
    if "norm" in name or name.endswith(".bias"):
        return np.full(shape, float("norm" in name and name.endswith(".weight")))
    scale = 0.02 if "embedding" in name else shape[-1] ** -0.5
    return scale * rng.standard_normal(shape, np.float32).astype(np.float64)


def make_tokenizer(place: Path, merges: Path, padding: str) -> None:
    """CLIP's tokenizer as transformers saves it, from its list of merges (gzip)."""
    place.mkdir()
    lines = gzip.decompress(merges.read_bytes()).decode("utf-8").split("\n")[1 : 49152 - 256 - 2 + 1]
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    letters = [chr(byte) for byte in plain] + [chr(256 + n) for n in range(len(rest))]
    ends = "<|startoftext|>", "<|endoftext|>"
    tokens = [*letters, *(f"{one}</w>" for one in letters), *("".join(line.split()) for line in lines), *ends]
    (place / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (place / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n", encoding="utf-8")
    special = {"bos_token": ends[0], "eos_token": ends[1], "unk_token": ends[1], "pad_token": padding}
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "errors": "replace", "do_lower_case": True}
    (place / "tokenizer_config.json").write_text(json.dumps({**config, "add_prefix_space": False, **special}))
    (place / "special_tokens_map.json").write_text(json.dumps(special))


def _write(
    file: Path,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str,
    values: Callable[[str, tuple[int, ...]], Any],
) -> int:
    """A file of two bytes a number, with holes where `values` gives None; returns its bytes."""
    head, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + 2 * prod(shape)
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(head).encode()
    start = 8 + len(text)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(start + offset)
        for name, shape in shapes.items():
            found = values(name, shape)
            if found is not None:
                stream.seek(start + head[name]["data_offsets"][0])
                stream.write(dtypes.encode(found, dtype))
    return start + offset


def make_pipeline(kind: Kind, place: Path, merges: Path) -> Path:
    """A whole pipeline in the folder `place`, and a manifest beside it, whose path is returned."""
    make(kind, place)
    make_encoders(kind, place, merges)
    manifest = place.with_suffix(".yaml")
    manifest.write_text(MANIFEST.format(place.name))
    return manifest


def fill(manifest: Path, out: Path) -> None:
    """Build once with the first blocks of each encoder alone, for the cache."""
    from editc import api

    whole = ClipText.hidden

    def first(self: ClipText, ids: Any, seen: Any, blocks: int | None = None) -> Any:
        return whole(self, ids, seen, FILLED_BLOCKS)

    ClipText.hidden = first  # type: ignore[method-assign]
    api.build(manifest, out)
    ClipText.hidden = whole  # type: ignore[method-assign]


def main() -> None:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("kinds", nargs="*", default=[])
    parser.add_argument("--vocabulary", type=Path, help="CLIP's list of merges, bpe_simple_vocab_16e6.txt.gz")
    parser.add_argument("--fill", action="store_true", help="build each once with one block of its encoders")
    parser.add_argument("--everyday", action="store_true", help="give each pipeline the everyday prompts as its own")
    parser.add_argument("--header", metavar="KIND", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.header:
        print(json.dumps(header(KINDS[given.header])))
        return
    for name in given.kinds:
        place = given.folder / name
        manifest = place.with_suffix(".yaml")
        if not place.exists():
            place.mkdir(parents=True)
            manifest = make_pipeline(KINDS[name], place, given.vocabulary)
        if given.everyday:
            (place / OWN_CORPUS).write_text("\n".join(everyday_prompts()) + "\n")
        if given.fill:
            fill(manifest, given.folder / f"{name}-out")


if __name__ == "__main__":
    main()
