"""Published configurations, built without memory: which family a header is, and how many sites it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.core.places import Source
from editc.core.ports import Context
from editc.manifests.decode import decode
from editc.opening import target
from editc.passes.images.locate.locate import Locate
from editc.passes.locate import recognise
from editc.passes.sites import sites_of

SD_BLOCKS = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
XL_BLOCKS = (
    ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
)
PUBLISHED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "SD 1.5": ("UNet2DConditionModel", {"cross_attention_dim": 768, "attention_head_dim": 8}),
    "SD 2.1": (
        "UNet2DConditionModel",
        {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True},
    ),
    "SDXL": (
        "UNet2DConditionModel",
        {
            "down_block_types": XL_BLOCKS[0],
            "up_block_types": XL_BLOCKS[1],
            "block_out_channels": (320, 640, 1280),
            "transformer_layers_per_block": (1, 2, 10),
            "attention_head_dim": (5, 10, 20),
            "cross_attention_dim": 2048,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
            "use_linear_projection": True,
        },
    ),
    "FLUX.1-dev": ("FluxTransformer2DModel", {"guidance_embeds": True}),
    "FLUX.1-schnell": ("FluxTransformer2DModel", {}),
    "SD3 medium": (
        "SD3Transformer2DModel",
        {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 192},
    ),
    "SD3.5 large": (
        "SD3Transformer2DModel",
        {
            "num_layers": 38,
            "num_attention_heads": 38,
            "caption_projection_dim": 2432,
            "pos_embed_max_size": 192,
            "qk_norm": "rms_norm",
        },
    ),
    "PixArt-alpha 1024": ("PixArtTransformer2DModel", {"caption_channels": 4096}),
    "PixArt-Sigma 512": (
        "PixArtTransformer2DModel",
        {"caption_channels": 4096, "sample_size": 64, "use_additional_conditions": False},
    ),
    "Stable Cascade": (
        "StableCascadeUNet",
        {
            "clip_text_in_channels": 1280,
            "clip_image_in_channels": 768,
            "down_num_layers_per_block": (1, 1),
            "up_num_layers_per_block": (1, 1),
        },
    ),
    "Kandinsky 2.2": ("PriorTransformer", {"embedding_dim": 1280, "num_layers": 2}),
}
KINDS: Mapping[str, tuple[str, int, int, int]] = {
    "SD 1.5": ("sd1", 32, 768, 0),
    "SD 2.1": ("sd2", 32, 1024, 0),
    "SDXL": ("sdxl", 140, 2048, 2816),
    "FLUX.1-dev": ("flux", 1, 4096, 768),
    "FLUX.1-schnell": ("flux", 1, 4096, 768),
    "SD3 medium": ("sd3", 1, 4096, 2048),
    "SD3.5 large": ("sd3", 1, 4096, 2048),
    "PixArt-alpha 1024": ("pixart", 56, 1152, 0),
    "PixArt-Sigma 512": ("pixart", 56, 1152, 0),
    "Stable Cascade": ("cascade", 1, 1280, 1280),
    "Kandinsky 2.2": ("kandinsky22", 1, 1280, 1280),
}
"""Family, number of sites edited unless a manifest says otherwise, their d_in, and d_in of the pooled one (0: none)."""
LOOKALIKES: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "Kandinsky 2.2's decoder": (
        "UNet2DConditionModel",
        {
            "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
            "block_out_channels": (32, 64),
            "layers_per_block": 1,
            "cross_attention_dim": 32,
            "addition_embed_type": "image",
            "encoder_hid_dim": 48,
            "encoder_hid_dim_type": "image_proj",
            "resnet_time_scale_shift": "scale_shift",
        },
        "E206",
    ),
    "Kolors": (
        "UNet2DConditionModel",
        {
            **PUBLISHED["SDXL"][1],
            "encoder_hid_dim": 4096,
            "encoder_hid_dim_type": "text_proj",
            "projection_class_embeddings_input_dim": 5632,
        },
        "E206",
    ),
    "Latte": (
        "LatteTransformer3DModel",
        {
            "num_layers": 1,
            "caption_channels": 4096,
            "cross_attention_dim": 1152,
            "num_attention_heads": 16,
            "attention_head_dim": 72,
            "in_channels": 4,
            "num_embeds_ada_norm": 1000,
            "norm_type": "ada_norm_single",
            "sample_size": 16,
            "patch_size": 2,
        },
        "E206",
    ),
    "Sana": ("SanaTransformer2DModel", {"num_layers": 1}, "E201"),
    "AuraFlow": ("AuraFlowTransformer2DModel", {"num_mmdit_layers": 1, "num_single_dit_layers": 1}, "E201"),
    "FLUX.2": ("Flux2Transformer2DModel", {"num_layers": 1, "num_single_layers": 1}, "E201"),
    "Stable Cascade's decoder": (
        "StableCascadeUNet",
        {
            "conditioning_dim": 32,
            "block_out_channels": (32, 32),
            "num_attention_heads": (2, 2),
            "down_num_layers_per_block": (1, 1),
            "up_num_layers_per_block": (1, 1),
            "effnet_in_channels": 16,
        },
        "E206",
    ),
}


@dataclass(frozen=True)
class Header:
    """Shapes alone."""

    shapes: Mapping[str, tuple[int, ...]]

    def names(self) -> Sequence[str]:
        return sorted(self.shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def dtype(self, name: str) -> str:
        return "BF16"

    def read(self, name: str) -> Array:
        raise AssertionError("a header has no values")


def header(kind: str, options: Mapping[str, Any]) -> Header:
    import diffusers

    given = dict(options)
    if kind == "UNet2DConditionModel":
        given.setdefault("down_block_types", SD_BLOCKS[0])
        given.setdefault("up_block_types", SD_BLOCKS[1])
    with torch.device("meta"):
        state = getattr(diffusers, kind)(**given).state_dict()
    return Header({name: tuple(value.shape) for name, value in state.items()})


@pytest.mark.parametrize("model", PUBLISHED)
def test_a_published_model_is_its_family_with_all_its_sites(model: str) -> None:
    family, count, width, pooled = KINDS[model]
    manifest, _ = decode(Source("m.yaml", "editc: 1\nmodel: m\nedits:\n  - erase: circle\n"))
    assert manifest is not None
    context = Context(header(*PUBLISHED[model]))
    plan = Locate(target.families())(manifest, context)
    assert (plan.family.name, len(plan.sites)) == (family, count)
    assert {site.shape[1] for site in plan.sites} == {width} == {plan.family.text_width}
    others = [role for role in plan.family.patterns if role not in plan.family.default_roles]
    assert [site.shape[1] for site in sites_of(plan.family, context.weights, others)] == [pooled] * bool(pooled)


@pytest.mark.parametrize("model", LOOKALIKES)
def test_a_lookalike_is_refused(model: str) -> None:
    kind, options, code = LOOKALIKES[model]
    with pytest.raises(EditcError) as error:
        recognise(target.families(), header(kind, options), "m")
    assert [one.code for one in error.value.diagnostics] == [code]
