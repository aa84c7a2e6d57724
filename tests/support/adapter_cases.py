"""Adapter files made by hand, one trap each, for the pico models whose folders `pico_models` makes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from places import FIXTURES

ADAPTERS = FIXTURES / "adapters"
Tensors = dict[str, np.ndarray[Any, Any]]

K = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
FF = "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2"
SIZES = {K: (16, 24), Q: (16, 16), FF: (16, 64)}
"""Shapes in the pico SD 1."""

STYLES = {
    "kohya": (".lora_down.weight", ".lora_up.weight"),
    "peft": (".lora_A.weight", ".lora_B.weight"),
    "layer": (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
    "dotted": (".lora.down.weight", ".lora.up.weight"),
    "processor": ("_lora.down.weight", "_lora.up.weight"),
}
TEXT = {"q_proj": (16, 16), "out_proj": (16, 16), "fc1": (32, 16), "fc2": (16, 32)}
TEXT_SETS = (("q_proj",), ("out_proj",), ("fc1",), ("fc2",), ("q_proj", "fc1"), ("q_proj", "out_proj"), tuple(TEXT))


def pair(name: str, shape: tuple[int, ...], rank: int = 2, style: str = "peft", alpha: float | None = None) -> Tensors:
    """A module's two matrices, and its alpha."""
    seed = np.random.default_rng(len(name) * 100 + rank)
    down, up = STYLES[style]
    found = {name + down: seed.normal(size=(rank, *shape[1:])), name + up: seed.normal(size=(shape[0], rank))}
    if len(shape) == 4:
        found[name + up] = found[name + up][:, :, None, None]
    if alpha is not None:
        found[f"{name}.alpha"] = np.array(alpha)
    return {key: value.astype(np.float32) for key, value in found.items()}


def kohya(name: str, prefix: str = "lora_unet_") -> str:
    return prefix + name.replace(".", "_")


def unet(name: str = K, **options: Any) -> Tensors:
    return pair(f"unet.{name}", SIZES[name], **options)


def old(name: str = K, **options: Any) -> Tensors:
    return pair(kohya(name), SIZES[name], style="kohya", **options)


def ones(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


def some(tensors: Tensors, *kept: str) -> Tensors:
    return {name: value for name, value in tensors.items() if name.endswith(kept)}


FQ, FL = "double_blocks.0.img_attn.qkv", "single_blocks.0.linear1"
FK = "transformer.transformer_blocks.0.attn.to_k"

CASES: Mapping[str, tuple[str, Callable[[], Tensors]]] = {
    "dora, kohya": ("sd1", lambda: {**old(), kohya(K) + ".dora_scale": ones(16, 1)}),
    "dora, peft": ("sd1", lambda: {**unet(), f"unet.{K}.lora_magnitude_vector": ones(16)}),
    "an adapter's name": ("sd1", lambda: {n.replace(".weight", ".style.weight"): v for n, v in unet().items()}),
    "diffusers' own first name": (
        "sd1",
        lambda: {n.replace(".weight", ".default_0.weight"): v for n, v in unet().items()},
    ),
    "compiled": ("sd1", lambda: {n.replace("unet.", "unet._orig_mod."): v for n, v in unet().items()}),
    "flux, compiled": ("flux", lambda: pair(FK.replace("transformer.", "transformer._orig_mod.", 1), (16, 16))),
    "kohya's endings": ("sd1", lambda: unet(style="kohya")),
    "kohya's endings on some": ("sd1", lambda: {**unet(), **unet(Q, style="kohya")}),
    "lokr": ("sd1", lambda: {f"unet.{K}.lokr_w1": ones(4, 4), f"unet.{K}.lokr_w2": ones(4, 6)}),
    "no module of the model": ("sd1", lambda: pair("unet.foo", (16, 24))),
    "one module of two": ("sd1", lambda: {**unet(), **pair("unet.foo", (16, 24))}),
    "too wide": ("sd1", lambda: pair(f"unet.{K}", (16, 25))),
    "a 1x1 for a matrix": ("sd1", lambda: pair(f"unet.{K}", (16, 24, 1, 1))),
    "dotted": ("sd1", lambda: unet(style="dotted")),
    "no prefix": ("sd1", lambda: pair(K, (16, 24))),
    "two ranks, no alpha": ("sd1", lambda: {**unet(), **unet(Q, rank=3)}),
    "kohya, two ranks, no alpha": ("sd1", lambda: {**old(), **old(Q, rank=3)}),
    "kohya, two ranks, one alpha": ("sd1", lambda: {**old(alpha=1.0), **old(Q, rank=3, alpha=1.0)}),
    "kohya, two alphas": ("sd1", lambda: {**old(alpha=1.0), **old(Q, rank=4, alpha=4.0)}),
    "kohya, two alphas, feed forward": ("sd1", lambda: {**old(alpha=1.0), **old(Q, alpha=1.0), **old(FF, alpha=3.0)}),
    "kohya, alpha on some": ("sd1", lambda: {**old(alpha=1.0), **old(Q, rank=4)}),
    "kohya, no up": ("sd1", lambda: some(old(), "down.weight")),
    "kohya and loha": ("sd1", lambda: {**old(), kohya(Q) + ".hada_w1_a": ones(16, 2)}),
    "kohya and dense": ("sd1", lambda: {**old(), kohya(Q) + ".diff": ones(16, 16)}),
    "kohya, ldm names": ("sd1", lambda: pair("lora_unet_input_blocks_1_1_proj_in", (16, 16, 1, 1), style="kohya")),
    "sdxl, ldm names": ("sdxl", lambda: pair(kohya("input_blocks.4.1.proj_in"), (16, 16), style="kohya")),
    "sdxl, both names": (
        "sdxl",
        lambda: {
            **pair(kohya("input_blocks.4.1.proj_in"), (16, 16), style="kohya"),
            **pair(kohya("down_blocks.1.attentions.1.proj_in"), (16, 16), style="kohya"),
        },
    ),
    "sdxl, added embedding": ("sdxl", lambda: pair(kohya("add_embedding.linear_1"), (64, 72), style="kohya")),
    "flux, fused": ("flux", lambda: pair(kohya(FQ), (48, 16), style="kohya")),
    "flux, fused, alpha": ("flux", lambda: pair(kohya(FQ), (48, 16), rank=4, style="kohya", alpha=1.0)),
    "flux, comfy's fused": ("flux", lambda: pair(f"diffusion_model.{FQ}", (48, 16), style="kohya")),
    "flux, fused single": ("flux", lambda: pair(kohya(FL), (112, 16), style="kohya")),
    "flux, dense": ("flux", lambda: {kohya(FQ) + ".diff": ones(48, 16)}),
    "flux, diffusers names as kohya": ("flux", lambda: pair(kohya(FK[12:]), (16, 16), style="kohya")),
    "flux, onetrainer": ("flux", lambda: pair(kohya(FK, "lora_"), (16, 16), style="kohya", alpha=1.0)),
    "flux, onetrainer, feed forward": (
        "flux",
        lambda: {
            **pair(kohya(FK, "lora_"), (16, 16), style="kohya", alpha=1.0),
            **pair(kohya(FK[:-9] + "ff.net.2", "lora_"), (16, 64), style="kohya", alpha=1.0),
        },
    ),
    "flux, onetrainer, no alpha": ("flux", lambda: pair(kohya(FK, "lora_"), (16, 16), style="kohya")),
    "flux, ldm dotted": ("flux", lambda: pair(f"diffusion_model.{FQ}", (48, 16))),
    "flux, peft prefix": ("flux", lambda: pair(f"base_model.model.{FK[12:]}", (16, 16))),
    "flux": ("flux", lambda: pair(FK, (16, 16))),
    "flux, alpha": ("flux", lambda: pair(FK, (16, 16), alpha=1.0)),
    "flux, lora.down": ("flux", lambda: pair(FK, (16, 16), style="dotted")),
    "flux, lora_down": ("flux", lambda: pair(FK, (16, 16), style="kohya")),
    "flux, lora_down, alpha": ("flux", lambda: pair(FK, (16, 16), style="kohya", alpha=1.0)),
    "sd3": ("sd3", lambda: pair(FK, (32, 32))),
    "sd3, alpha": ("sd3", lambda: pair(FK, (32, 32), alpha=1.0)),
    "sd3, kohya": ("sd3", lambda: pair(kohya("joint_blocks.0.x_block.attn.qkv"), (96, 32), style="kohya")),
}

STATED: Mapping[str, tuple[str, Callable[[], Tensors], Mapping[str, Any]]] = {
    "its own": ("sd1", unet, {"unet.r": 2, "unet.lora_alpha": 2, "unet.target_modules": ["to_k"]}),
    "alpha 8": ("sd1", unet, {"unet.r": 2, "unet.lora_alpha": 8, "unet.target_modules": ["to_k"]}),
    "rslora": (
        "sd1",
        unet,
        {"unet.r": 2, "unet.lora_alpha": 8, "unet.use_rslora": True, "unet.target_modules": ["to_k"]},
    ),
    "another rank": ("sd1", unet, {"unet.r": 4, "unet.lora_alpha": 4, "unet.target_modules": ["to_k"]}),
    "without targets": ("sd1", unet, {"unet.r": 2, "unet.lora_alpha": 8}),
    "of another part": ("sd1", unet, {"text_encoder.r": 4}),
    "with alphas": ("sd1", lambda: old(alpha=1.0), {"unet.r": 2, "unet.lora_alpha": 2}),
    "flux": (
        "flux",
        lambda: pair(FK, (16, 16)),
        {"transformer.r": 2, "transformer.lora_alpha": 6, "transformer.target_modules": ["to_k"]},
    ),
    "flux, with alphas": ("flux", lambda: pair(FK, (16, 16), alpha=1.0), {"transformer.r": 2}),
}
"""Adapters with lora_adapter_metadata."""


def text(component: str, style: str, leaves: tuple[str, ...]) -> Tensors:
    """A text encoder's part; `flat` is PEFT's spelling without `text_model.`."""
    found: Tensors = {}
    for leaf in leaves:
        shape = tuple(3 * n // 2 for n in TEXT[leaf]) if component.endswith("_2") else TEXT[leaf]
        inner = f"encoder.layers.0.{'mlp' if leaf.startswith('fc') else 'self_attn'}.{leaf}"
        name = f"{component}.{inner}" if style == "flat" else f"{component}.text_model.{inner}"
        if style == "kohya":
            name = kohya(f"text_model.{inner}", "lora_te2_" if component.endswith("_2") else "lora_te1_")
        found |= pair(name, shape, style="peft" if style == "flat" else style)
    return found


def write(path: Path, tensors: Tensors, stated: Mapping[str, Any] | None = None) -> Path:
    """The file; with lora_adapter_metadata where `stated` is given."""
    from safetensors.numpy import save_file

    save_file(tensors, str(path), None if stated is None else {"lora_adapter_metadata": json.dumps(stated)})
    return path
