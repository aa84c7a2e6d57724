"""Pico models of every family with random deltas over them, for exports that the real programs read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import tiny_families
import tiny_files
import torch

from editc.core.delta import Delta, Factors, Site
from editc.core.site_bytes import matrix_shape, site_record
from editc.formats.models.model import Checkpoint, Model, open_model
from editc.registry.families import FAMILIES


def llama(folder: Path) -> Path:
    """A Llama of two layers in float32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 64}
    LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)).save_pretrained(folder)
    return folder


def gpt2(folder: Path) -> Path:
    """A GPT-2 of two layers in float32: its matrices are stored (d_in, d_out)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=64, n_positions=32)).save_pretrained(folder)
    return folder


def gpt2_hub(folder: Path) -> Path:
    """The same as the hub has it: the bare model's names, without `transformer.` and without a head."""
    from safetensors.numpy import load_file, save_file

    file = gpt2(folder) / "model.safetensors"
    held = {name.removeprefix("transformer."): w for name, w in load_file(file).items() if "lm_head" not in name}
    save_file(held, file, {"format": "pt"})
    return folder


def gemma3(folder: Path) -> Path:
    """A Gemma 3 that sees images: `language_model.model.` in the file, `model.language_model.` in the program."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    torch.manual_seed(0)
    text = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 64, "head_dim": 8}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    image = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Gemma3Config(text_config=text, vision_config=image | {"image_size": 28, "patch_size": 14})
    Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def sd1(folder: Path) -> Path:
    """A whole Stable Diffusion pipeline, UNet in float32, that can paint."""
    from diffusers import AutoencoderKL, DDIMScheduler

    tiny.pipeline_folder(folder, dtype=torch.float32)
    levels = ("DownEncoderBlock2D",) * 2, ("UpDecoderBlock2D",) * 2
    torch.manual_seed(3)
    sizes = {"block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 4, "sample_size": 16}
    AutoencoderKL(**sizes, down_block_types=levels[0], up_block_types=levels[1]).save_pretrained(folder / "vae")
    DDIMScheduler().save_pretrained(folder / "scheduler")
    classes = {
        "unet": ("diffusers", "UNet2DConditionModel"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "vae": ("diffusers", "AutoencoderKL"),
        "scheduler": ("diffusers", "DDIMScheduler"),
        "safety_checker": (None, None),
        "feature_extractor": (None, None),
    }
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline", **classes}))
    return folder


def _family(name: str) -> Callable[[Path], Path]:
    return lambda folder: tiny_families.saved(name, folder)


MODELS: Mapping[str, Callable[[Path], Path]] = {
    "sd1": sd1,
    "sd2": lambda folder: tiny.pipeline_folder(folder, linear=True),
    **{name: _family(name) for name in tiny_families.FAMILIES},
    "llama": llama,
    "gpt2": gpt2,
    "gpt2-hub": gpt2_hub,
    "gemma3": gemma3,
}
"""How to make a model of each family; language models are none of editc's own families."""
TEXTS: Mapping[str, Sequence[str]] = {
    "llama": ("*.mlp.down_proj.weight", "*.self_attn.v_proj.weight"),
    "gpt2": ("*.mlp.c_fc.weight", "*.attn.c_attn.weight", "*.mlp.c_proj.weight"),
    "gpt2-hub": ("*.mlp.c_fc.weight", "*.attn.c_attn.weight", "*.mlp.c_proj.weight"),
    "gemma3": ("language_model.*.mlp.down_proj.weight", "language_model.*.self_attn.v_proj.weight"),
}
"""What is edited of a language model."""


def made(family: str, folder: Path) -> Model:
    """The family's model at `folder`, opened."""
    return open_model(MODELS[family](folder))


def sites(model: Model, family: str) -> list[Site]:
    """The sites that a family edits by itself; the role is that of its table."""
    known = family in FAMILIES.names("image")
    found = FAMILIES.resolve(family) if known else None
    component = found.component if found else "model"
    patterns = {role: found.patterns[role] for role in found.default_roles} if found else dict(enumerate(TEXTS[family]))
    weights = model.component(component)
    return [
        _site(weights, component, name, str(role), transposed=family.startswith("gpt2"))
        for name in weights.names()
        for role, pattern in patterns.items()
        if fnmatchcase(name, pattern)
    ]


def every_site(model: Model, component: str = "unet") -> list[Site]:
    """Every matrix and convolution of a component, as an adapter may change them: 1x1 and 3x3 windows too."""
    weights = model.component(component)
    names = [n for n in weights.names() if n.endswith(".weight") and len(weights.shape(n)) in (2, 4)]
    return [_site(weights, component, name, "adapter") for name in names]


def site(model: Model, component: str, name: str, role: str, transposed: bool = False) -> Site:
    """One site from the checkpoint's header."""
    return _site(model.component(component), component, name, role, transposed)


def _site(weights: Checkpoint, component: str, name: str, role: str, transposed: bool = False) -> Site:
    rows, columns = matrix_shape(weights.shape(name))
    shape = (columns, rows) if transposed else (rows, columns)
    return Site(component, name, shape, weights.dtype(name), role, transposed=transposed)


def delta(model: Model, family: str, chosen: Sequence[Site], form: str, ranks: Sequence[int] = (3,)) -> Delta:
    """A random delta, small enough that float16 holds its results; low-rank sites take `ranks` in turn."""
    groups: dict[int, list[int]] = {}
    for index, one in enumerate(chosen):
        groups.setdefault(one.shape[1] if form == "shared" else 0, []).append(index)
    factors = {
        f"group{width}": _factors(form, [chosen[index] for index in members], tuple(members), ranks)
        for width, members in groups.items()
    }
    places = {index: (f, k) for f in factors.values() for k, index in enumerate(f.sites)}
    weights = {component: model.component(component) for component in {one.component for one in chosen}}
    records = tuple(
        site_record(one, weights[one.component].read(one.name).reshape(_stored(one)), *places[index])
        for index, one in enumerate(chosen)
    )
    blank = Delta(
        family=family,
        sites=records,
        factors=factors,
        encoder="",
        manifest="editc: 1\n",
        manifest_digest="d" * 64,
        edits=({"kind": "erase", "concept": "circle", "method": "uce", "strength": 1.0},),
        claims=(),
        tool="editc 0",
    )
    return tiny_files.sealed(blank)


def _factors(form: str, chosen: Sequence[Site], members: tuple[int, ...], ranks: Sequence[int]) -> Factors:
    rng = np.random.default_rng(7)

    def part(*shape: int) -> Any:
        return rng.normal(size=shape, scale=0.1).astype(np.float32)

    width = chosen[0].shape[1]
    if form == "shared":
        return Factors("shared", members, (part(width, ranks[0]),), (part(ranks[0], width),))
    if form == "dense":
        return Factors("dense", members, tuple(part(*one.shape) for one in chosen), ())
    sizes = [ranks[k % len(ranks)] for k in range(len(chosen))]
    left = tuple(part(one.shape[0], r) for one, r in zip(chosen, sizes, strict=True))
    return Factors(
        "low-rank", members, left, tuple(part(r, one.shape[1]) for one, r in zip(chosen, sizes, strict=True))
    )


def _stored(one: Site) -> tuple[int, int]:
    return (one.shape[1], one.shape[0]) if one.transposed else one.shape


def fine_tuned(folder: Path, copy: Path, component: str) -> Model:
    """A copy of a model whose component is another by a percent, its text encoder the same."""
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, copy)
    (path,) = (copy / component).glob("*.safetensors")
    draw = torch.Generator().manual_seed(9)
    state = {name: v + (0.01 * torch.randn(v.shape, generator=draw)).to(v.dtype) for name, v in load_file(path).items()}
    save_file(state, path, {"format": "pt"})
    return open_model(copy)


def changed(delta: Delta, **fields: Any) -> Delta:
    """`delta` with other fields and its new `delta_id`."""
    return tiny_files.sealed(replace(delta, **fields))
