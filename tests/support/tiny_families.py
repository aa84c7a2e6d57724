"""A pico pipeline of every family: the real diffusers classes and module names, tiny widths, random float16 weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tiny
import torch

from editc.demo import MODEL

LENGTH = 32
"""Tokens that the pico CLIPs read, as the demo's."""


def clip(width: int, projected: bool, seed: int) -> Any:
    """A CLIP of three layers, so that its penultimate rows are not its first."""
    return tiny.clip(width, seed, 3, projected)


def clip_tokenizer(pad: str = "<|endoftext|>") -> Any:
    """The demo's tokenizer; OpenCLIP's pads with `!`."""
    from transformers import CLIPTokenizerFast

    return CLIPTokenizerFast.from_pretrained(MODEL / "tokenizer", pad_token=pad)


def t5(width: int, seed: int) -> Any:
    """A random T5 encoder over `t5_tokenizer`'s vocabulary."""
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(seed)
    size = len(t5_tokenizer())
    config = T5Config(
        vocab_size=size,
        d_model=width,
        d_kv=8,
        d_ff=2 * width,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
        eos_token_id=1,
    )
    return T5EncoderModel(config)


def t5_tokenizer() -> Any:
    """A unigram tokenizer of single characters and the demo's words, `circle` in two pieces."""
    from transformers import T5TokenizerFast

    words = [word.removesuffix("</w>") for word in json.loads((MODEL / "tokenizer" / "vocab.json").read_text())]
    whole = sorted({f"\u2581{word}" for word in words if word.isalpha() and word.isascii() and word != "circle"})
    pieces = [*whole, "\u2581cir", "cle"]
    letters = ["\u2581", *"abcdefghijklmnopqrstuvwxyz0123456789,.'!"]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(piece, -5.0) for piece in dict.fromkeys(pieces)] + [(letter, -12.0) for letter in letters]
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=512)


def vae(channels: int) -> Any:
    """A random autoencoder of two levels."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=channels,
        sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        shift_factor=0.0,
    )


def sdxl() -> Any:
    """Two CLIPs of widths 16 and 24, rows of 40, and a pooled embedding of 24 before 6 times 8 numbers of size."""
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=40,
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24 + 6 * 8,
    )
    return StableDiffusionXLPipeline(
        vae=vae(4),
        text_encoder=clip(16, False, 1),
        text_encoder_2=clip(24, True, 2),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer("!</w>"),
        unet=unet,
        scheduler=DDIMScheduler(),
    )


def flux() -> Any:
    """A T5 of width 32, rows into 48 numbers, and a pooled CLIP embedding of 16."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(4),
        text_encoder=clip(16, False, 1),
        tokenizer=clip_tokenizer(),
        text_encoder_2=t5(32, 2),
        tokenizer_2=t5_tokenizer(),
        transformer=transformer,
    )


def sd3() -> Any:
    """CLIPs of widths 16 and 24, padded to the T5's 48, and a pooled embedding of 40."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=48,
        caption_projection_dim=32,
        pooled_projection_dim=40,
        pos_embed_max_size=8,
    )
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(4),
        text_encoder=clip(16, True, 1),
        tokenizer=clip_tokenizer(),
        text_encoder_2=clip(24, True, 2),
        tokenizer_2=clip_tokenizer("!</w>"),
        text_encoder_3=t5(48, 3),
        tokenizer_3=t5_tokenizer(),
    )


def pixart() -> Any:
    """A T5 of width 48, projected to 32 before two blocks of cross-attention."""
    from diffusers import DDIMScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel

    torch.manual_seed(0)
    transformer = PixArtTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=32,
        sample_size=8,
        caption_channels=48,
        use_additional_conditions=False,
    )
    return PixArtAlphaPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=t5(48, 3),
        vae=vae(4),
        transformer=transformer,
        scheduler=DDIMScheduler(),
    )


def cascade() -> Any:
    """Stable Cascade's prior: CLIP rows and a pooled embedding of 24, mapped to 32 numbers."""
    from diffusers import DDPMWuerstchenScheduler, StableCascadePriorPipeline, StableCascadeUNet

    torch.manual_seed(0)
    prior = StableCascadeUNet(
        in_channels=4,
        out_channels=4,
        conditioning_dim=32,
        block_out_channels=(32, 32),
        num_attention_heads=(2, 2),
        down_num_layers_per_block=(1, 1),
        up_num_layers_per_block=(1, 1),
        clip_text_in_channels=24,
        clip_text_pooled_in_channels=24,
        clip_image_in_channels=16,
        timestep_ratio_embedding_dim=16,
        switch_level=(False,),
    )
    return StableCascadePriorPipeline(
        tokenizer=clip_tokenizer(),
        text_encoder=clip(24, True, 2),
        prior=prior,
        scheduler=DDPMWuerstchenScheduler(),
        resolution_multiple=2,
    )


def kandinsky22() -> Any:
    """Kandinsky 2.2's prior: CLIP rows and a pooled embedding of 24, projected to 32 numbers."""
    from diffusers import KandinskyV22PriorPipeline, PriorTransformer, UnCLIPScheduler
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    prior = PriorTransformer(
        num_attention_heads=2, attention_head_dim=16, num_layers=1, embedding_dim=24, num_embeddings=LENGTH
    )
    torch.nn.init.ones_(prior.clip_std)  # zeros as made, which would make every embedding zero
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        projection_dim=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
    )
    return KandinskyV22PriorPipeline(
        prior=prior,
        image_encoder=CLIPVisionModelWithProjection(vision),
        text_encoder=clip(24, True, 2),
        tokenizer=clip_tokenizer(),
        scheduler=UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample=True, clip_sample_range=5.0
        ),
        image_processor=CLIPImageProcessorPil(size=8, crop_size=8),
    )


FAMILIES: Mapping[str, Callable[[], Any]] = {
    "sdxl": sdxl,
    "flux": flux,
    "sd3": sd3,
    "pixart": pixart,
    "cascade": cascade,
    "kandinsky22": kandinsky22,
}


def saved(family: str, folder: Path) -> Path:
    """The family's pico pipeline as a folder, in float16."""
    from diffusers.utils import logging

    logging.set_verbosity_error()
    shutil.rmtree(folder, ignore_errors=True)
    FAMILIES[family]().to(torch.float16).save_pretrained(folder)
    tiny.write_everyday_prompts(folder)
    return folder
