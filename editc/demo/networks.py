"""The networks of the demo model: the classes and the layout of Stable Diffusion 1, in small."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import torch

from editc.demo.captions import vocabulary
from editc.demo.tokens import LENGTH, load_tokenizer, write_tokenizer


def make_tokenizer(folder: Path, words: tuple[str, ...]) -> Any:
    """Write the tokenizer of a world with these words into `folder` and load it from there."""
    write_tokenizer(folder, words)
    return load_tokenizer(folder)


def make_text_encoder(tokenizer: Any, width: int, layers: int) -> Any:
    """Return an untrained CLIPTextModel with layers of this width."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def make_unet(width: int, channels: tuple[int, int]) -> Any:
    """Return an untrained UNet with cross-attention at both levels (8 x 8 and 4 x 4) and in the middle.

    `width` is that of the text encoder, `channels` are those of the levels.
    """
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=width,
        attention_head_dim=4,
    )


def make_scheduler() -> Any:
    """Return a DDIM scheduler with the noise levels of Stable Diffusion and v-prediction.

    v-prediction suits few channels better.
    """
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )


def save_pipeline(folder: Path, unet: Any, text_encoder: Any, vae: Any, words: tuple[str, ...] | None = None) -> None:
    """Write a complete pipeline in float16: first into a folder beside `folder`, which then takes its place.

    `words` are those of the tokenizer; None: those of the demo world.
    """
    from diffusers import StableDiffusionPipeline

    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    words = vocabulary() if words is None else words
    tokenizer = make_tokenizer(draft / "tokenizer", words)
    pipeline = StableDiffusionPipeline(
        vae=_half(vae),
        text_encoder=_half(text_encoder),
        tokenizer=tokenizer,
        unet=_half(unet),
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(str(draft))
    write_tokenizer(draft / "tokenizer", words)
    (draft / "tokenizer" / "tokenizer.json").unlink(missing_ok=True)
    for weights in draft.rglob("*.safetensors"):
        weights.chmod(0o644)
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_pipeline(folder: Path) -> Any:
    """Load the pipeline from `folder` in float32, without a progress bar."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(str(folder), low_cpu_mem_usage=False).to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _half(module: Any) -> Any:
    """Return a copy of the module in float16."""
    return copy.deepcopy(module).half()
