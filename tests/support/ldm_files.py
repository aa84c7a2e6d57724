"""LDM single files made of a diffusers folder, by the names that diffusers' own converter reads (test_ldm_names)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tiny import text_encoder

from editc.formats.models.ldm_names import to_ldm

SD1: dict[str, Any] = {"cross_attention_dim": 768, "attention_head_dim": 8}
SD2: dict[str, Any] = {
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
}
THREE_LEVELS: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
}
SDXL: dict[str, Any] = {
    **THREE_LEVELS,
    "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
PICO_SD1: dict[str, Any] = {
    "block_out_channels": (32, 32, 64, 64),
    "sample_size": 8,
    "attention_head_dim": 4,
    "cross_attention_dim": 32,
}
PICO_SDXL: dict[str, Any] = {
    **THREE_LEVELS,
    "block_out_channels": (32, 32, 64),
    "transformer_layers_per_block": [1, 2, 3],
    "attention_head_dim": 4,
    "cross_attention_dim": 32,
    "sample_size": 8,
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 64,
}


def pico_folder(folder: Path, config: dict[str, Any], seed: int = 0) -> Path:
    """A pipeline folder with a random float16 UNet of that shape and a CLIP encoder."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    UNet2DConditionModel(**config).half().save_pretrained(folder / "unet")
    text_encoder(folder, config["cross_attention_dim"])
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return folder


def tuned_folder(base: Path, folder: Path, seed: int = 9) -> Path:
    """A fine-tune of the pipeline at `base`: its UNet, every matrix moved by 3 % of its norm."""
    torch.manual_seed(seed)
    shutil.copytree(base, folder)
    parts = {
        n: (W.float() + 0.03 * W.float().std(correction=0) * torch.randn(W.shape)).half()
        for n, W in unet_of(base).items()
    }
    save_file(parts, folder / "unet" / "diffusion_pytorch_model.safetensors")
    return folder


def unet_of(folder: Path) -> dict[str, torch.Tensor]:
    """The UNet's tensors by diffusers name."""
    return load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")


def single_file(folder: Path, file: Path, dtype: Any = torch.float16, encoder: str = "clip", ema: bool = False) -> Path:
    """The LDM file of a pipeline folder, with what such files hold besides: a VAE, the noise schedule, buffers."""
    unet = unet_of(folder)
    parts = {f"model.diffusion_model.{ldm}": unet[name] for name, ldm in to_ldm(unet).items()}
    parts |= encoder_parts(folder, encoder)
    parts = {name: value.to(dtype) for name, value in parts.items()}
    if ema:
        flat = {name.partition(".")[2].replace(".", ""): value for name, value in parts.items() if "diffusion" in name}
        parts |= {f"model_ema.{name}": value + 1 for name, value in flat.items()}
    parts |= {name: torch.linspace(0, 1, 7) for name in ("betas", "alphas_cumprod", "alphas_cumprod_prev")}
    parts["first_stage_model.decoder.conv_in.weight"] = torch.ones(4, 4, 3, 3)
    parts["model_ema.num_updates"] = torch.tensor(3)
    parts["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(32)[None]
    save_file({name: value.contiguous() for name, value in parts.items()}, file, {"format": "pt"})
    return file


def encoder_parts(folder: Path, kind: str) -> dict[str, torch.Tensor]:
    """The text encoder as SD 1 (`clip`) or SD 2 (`open_clip`) files hold it, as SDXL's first (`sdxl`), or none."""
    stored = load_file(folder / "text_encoder" / "model.safetensors")
    clip = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in stored.items()}
    if kind == "open_clip":
        return open_clip(clip, "cond_stage_model.model.", torch.zeros(32, 32))
    if kind == "sdxl":
        both = {f"conditioner.embedders.0.transformer.{name}": value for name, value in clip.items()}
        return both | open_clip(clip, "conditioner.embedders.1.model.", torch.zeros(32, 32))
    return {f"cond_stage_model.transformer.{name}": value for name, value in clip.items()} if kind == "clip" else {}


def open_clip(clip: dict[str, torch.Tensor], prefix: str, projection: torch.Tensor) -> dict[str, torch.Tensor]:
    """A transformers CLIP in OpenCLIP's names and with its joint projections, one more layer of noise at the end."""
    outer = {
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    inner = {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "self_attn.out_proj": "attn.out_proj",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    }
    found = {"text_projection": projection, "logit_scale": torch.tensor(4.6)}
    found |= {new: clip[f"text_model.{old}"] for old, new in outer.items()}
    layers = 1 + max(int(name.split(".")[3]) for name in clip if ".layers." in name)
    for i in range(layers + 1):
        old, new = f"text_model.encoder.layers.{min(i, layers - 1)}", f"transformer.resblocks.{i}"
        for leaf in ("weight", "bias"):
            found |= {f"{new}.{b}.{leaf}": clip[f"{old}.{a}.{leaf}"] for a, b in inner.items()}
            joint = torch.cat([clip[f"{old}.self_attn.{part}_proj.{leaf}"] for part in "qkv"])
            found[f"{new}.attn.in_proj_{leaf}"] = joint
    return {prefix + name: value.clone() for name, value in found.items()}
