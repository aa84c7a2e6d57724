"""The families whose edited part is a UNet: Stable Diffusion 1.x, 2.x and XL. Its cross-attention reads CLIP rows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from editc.core.family import TEXT_ENCODER, Family, Group, Stream
from editc.families.images.contexts import CONTEXTS

PATTERNS = {"k": "*.attn2.to_k.weight", "v": "*.attn2.to_v.weight"}
"""Role -> names of the key and value matrices of cross-attention in a UNet of diffusers."""

LAYERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "cross": ("*.attn2.to_?.weight", "*.attn2.to_out.0.weight"),
        "query": ("*.attn2.to_q.weight",),
        "self": ("*.attn1.to_?.weight", "*.attn1.to_out.0.weight"),
        "feed-forward": ("*.ff.net.0.proj.weight", "*.ff.net.2.weight"),
        "convolution": (
            "*.resnets.*.conv?.weight",
            "*.resnets.*.conv_shortcut.weight",
            "*samplers.0.conv.weight",
            "*.proj_in.weight",
            "*.proj_out.weight",
        ),
    }
)
"""Kind of layer -> names of its matrices in a UNet of diffusers, for training. A kernel counts as a matrix with
one row for each channel it makes. The layers around a transformer (`proj_in`, `proj_out`) are convolutions of one pixel
in Stable Diffusion 1.x."""

PARTS: Mapping[str, str] = MappingProxyType({TEXT_ENCODER: "sd-text"})
"""What can be edited beside the UNet -> its family."""

SD1 = Family(
    name="sd1",
    title="Stable Diffusion 1.x",
    component="unet",
    patterns=PATTERNS,
    marker=("*.attentions.0.proj_in.weight", 4),
    text_width=768,
    neutral="",
    default_method="uce",
    contexts=CONTEXTS,
    layers=LAYERS,
    parts=PARTS,
)
"""Stable Diffusion 1.x reads the rows of one CLIP. The layers around its transformers are convolutions, so their
weights have four dimensions."""

SD2 = Family(
    name="sd2",
    title="Stable Diffusion 2.x",
    component="unet",
    patterns=PATTERNS,
    marker=("*.attentions.0.proj_in.weight", 2),
    text_width=1024,
    neutral="",
    default_method="uce",
    contexts=CONTEXTS,
    layers=LAYERS,
    parts=PARTS,
)
"""Stable Diffusion 2.x: a wider text encoder than 1.x, and linear layers around its transformers."""

SDXL = Family(
    name="sdxl",
    title="Stable Diffusion XL",
    component="unet",
    patterns={**PATTERNS, "pooled": "add_embedding.linear_1.weight"},
    marker=("*.attentions.0.proj_in.weight", 2),
    text_width=2048,
    neutral="",
    default_method="uce",
    contexts=CONTEXTS,
    groups={
        "text": Group(
            ("k", "v"), ("text",), "the penultimate hidden states of CLIP-L (768) and OpenCLIP-G (1280), side by side"
        ),
        "pooled": Group(
            ("pooled",),
            ("pooled",),
            "the pooled text embedding (1280) of OpenCLIP-G in its first columns, picture sizes in the others",
            leading=True,
        ),
    },
    streams={
        "text": Stream(("text_encoder", "text_encoder_2"), "penultimate"),
        "pooled": Stream(("text_encoder_2",), "pooled"),
    },
    notes=(
        "the pooled embedding reaches every block without the edited layers; the report measures it as `leak`",
        "without a negative prompt, diffusers feeds zeros instead of the empty prompt; no edit moves these rows",
    ),
)
"""Stable Diffusion XL: two CLIP encoders side by side. The pooled embedding of the second joins the embedding of the
time step."""
