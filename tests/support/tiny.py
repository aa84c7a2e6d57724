"""Small models made from the real classes, with the real module names, for tests that need a whole pipeline folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from editc.demo import MODEL
from editc.texts import read_text

SD1_BLOCKS = {
    **{f"down_blocks.{i}.attentions.{j}": width for i, width in enumerate((320, 640, 1280)) for j in (0, 1)},
    "mid_block.attentions.0": 1280,
    **{f"up_blocks.{i}.attentions.{j}": width for i, width in ((1, 1280), (2, 640), (3, 320)) for j in (0, 1, 2)},
}
"""Every cross-attention block of Stable Diffusion 1.5, with the rows of its K and V."""


def pipeline_folder(
    folder: Path, width: int = 32, linear: bool = False, dtype: Any = torch.float16, seed: int = 0
) -> Path:
    """A whole pico pipeline: UNet of SD1 (or, with `linear` projections, SD2) and a CLIP encoder, random weights."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=4,
        use_linear_projection=linear,
    )
    text_encoder(folder, width)
    unet.to(dtype).save_pretrained(folder / "unet")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return folder


def clip(width: int, seed: int, layers: int = 2, projected: bool = False) -> Any:
    """A random CLIP text encoder over the demo's vocabulary; with a projection of its own width if asked."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    known = json.loads((MODEL / "text_encoder" / "config.json").read_text())
    names = ("vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")
    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        projection_dim=width,
        **{name: known[name] for name in names},
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def text_encoder(folder: Path, width: int, seed: int = 1) -> None:
    """A random CLIP text encoder of that width as a folder, its tokenizer, and a list of prompts."""
    clip(width, seed).half().save_pretrained(folder / "text_encoder")
    shutil.copytree(MODEL / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    write_everyday_prompts(folder)


def write_everyday_prompts(folder: Path) -> None:
    """Make the everyday prompts the model's own: which words a random encoder tells apart says nothing."""
    (folder / "prompts.txt").write_text(read_text("everyday.txt"))


def sd1_true_shape(folder: Path, seed: int = 2) -> Path:
    """The 32 K and V matrices of SD 1.5 in their true shapes (random, float16), with a text encoder 768 wide."""
    rng = np.random.default_rng(seed)
    tensors = {"down_blocks.0.attentions.0.proj_in.weight": torch.zeros(320, 320, 1, 1, dtype=torch.float16)}
    for block, rows in SD1_BLOCKS.items():
        for role in ("to_k", "to_v"):
            values = rng.normal(size=(rows, 768), scale=0.05).astype(np.float16)
            tensors[f"{block}.transformer_blocks.0.attn2.{role}.weight"] = torch.from_numpy(values)
    (folder / "unet").mkdir(parents=True)
    save_file(tensors, str(folder / "unet" / "diffusion_pytorch_model.safetensors"))
    text_encoder(folder, 768)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return folder
