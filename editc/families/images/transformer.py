"""The families whose edited part is a transformer: FLUX.1, Stable Diffusion 3, and PixArt."""

from __future__ import annotations

from editc.core.family import Family, Group, Stream
from editc.families.images.contexts import CONTEXTS

JOINT_REASON = (
    "joint attention reads states that differ between layers and between pictures, so they share no key; "
    "the text enters by `entry`"
)
"""Why the roles `k` and `v` cannot be edited in a model with joint attention."""
BIAS_NOTE = "the projections have a bias b, which an edit does not change: W c becomes W c*, then b is added"
"""What an edit leaves alone in a model whose projections have a bias."""

FLUX = Family(
    name="flux",
    title="FLUX.1",
    component="transformer",
    patterns={"entry": "context_embedder.weight", "pooled": "time_text_embed.text_embedder.linear_1.weight"},
    marker=("single_transformer_blocks.0.proj_mlp.weight", 2),
    text_width=4096,
    neutral="",
    default_method="uce",
    contexts=CONTEXTS,
    default_roles=("entry",),
    required_parameters=("context_embedder.bias",),
    groups={
        "text": Group(("entry",), ("text",), "the rows of T5, with those of its padding: 512 tokens, unmasked"),
        "pooled": Group(("pooled",), ("pooled",), "the pooled output (768) of CLIP-L"),
    },
    streams={
        "text": Stream(("text_encoder_2",), "t5", length=512),
        "pooled": Stream(("text_encoder",), "pooled"),
    },
    refused={"k": JOINT_REASON, "v": JOINT_REASON},
    notes=(
        BIAS_NOTE,
        "the pooled embedding reaches every block without the edited layer; the report measures it as `leak`",
        "keys are T5's rows at 512 tokens, the pipeline's default; at another max_sequence_length they differ a little",
    ),
)
"""FLUX.1: the rows of a T5 enter through one projection, and a pooled CLIP embedding through another."""

SD3 = Family(
    name="sd3",
    title="Stable Diffusion 3",
    component="transformer",
    patterns={"entry": "context_embedder.weight", "pooled": "time_text_embed.text_embedder.linear_1.weight"},
    marker=("pos_embed.proj.weight", 4),
    text_width=4096,
    neutral="",
    default_method="uce",
    contexts=CONTEXTS,
    default_roles=("entry",),
    required_parameters=("context_embedder.bias", "transformer_blocks.0.attn.add_k_proj.weight"),
    groups={
        "text": Group(
            ("entry",),
            ("text", "t5"),
            "the penultimate hidden states of CLIP-L (768) and OpenCLIP-G (1280) side by side and padded with zeros to "
            "4096, then the rows of T5: 256 tokens, unmasked",
            leading=True,
        ),
        "pooled": Group(("pooled",), ("pooled",), "the pooled embeddings of CLIP-L (768) and OpenCLIP-G (1280)"),
    },
    streams={
        "text": Stream(("text_encoder", "text_encoder_2"), "penultimate"),
        "t5": Stream(("text_encoder_3",), "t5", length=256),
        "pooled": Stream(("text_encoder", "text_encoder_2"), "pooled"),
    },
    refused={"k": JOINT_REASON, "v": JOINT_REASON},
    notes=(
        BIAS_NOTE,
        "the pooled embedding reaches every block without the edited layer; the report measures it as `leak`",
        "an edit built without T5 covers the CLIP rows alone; if T5 is added later, the concept comes back",
        "keys are T5's rows at 256 tokens, the pipeline's default; at another max_sequence_length they differ a little",
    ),
)
"""Stable Diffusion 3 and 3.5: the rows of two CLIPs and then those of a T5 enter through one projection."""

PIXART = Family(
    name="pixart",
    title="PixArt-alpha and PixArt-Sigma",
    component="transformer",
    patterns={"k": "transformer_blocks.*.attn2.to_k.weight", "v": "transformer_blocks.*.attn2.to_v.weight"},
    marker=("pos_embed.proj.weight", 4),
    text_width=1152,
    neutral="",
    default_method="uce",
    contexts=CONTEXTS,
    required_parameters=(
        "caption_projection.linear_1.weight",
        "caption_projection.linear_2.bias",
        "adaln_single.linear.weight",
    ),
    groups={
        "text": Group(
            ("k", "v"),
            ("text",),
            "the rows of T5 without padding, after `caption_projection` (linear, GELU, linear), which all blocks share",
        )
    },
    streams={
        "text": Stream(
            ("text_encoder",),
            "t5",
            length=120,
            lengths={"PixArtSigmaPipeline": 300},
            masked=True,
            lowered=True,
            through="caption_projection",
        )
    },
    notes=(
        "the projections have a bias; an edit does not change it, and targets leave it out",
        "the keys go through `caption_projection`: a fine-tune that changed it is refused, and needs a build"
        " of its own",
        "prompts are stripped and lower-cased as the pipeline does; its further cleaning of captions (web addresses, "
        "HTML) is not repeated",
    ),
)
"""PixArt-alpha and PixArt-Sigma: the rows of a T5 are projected once, and cross-attention in every block reads the
result."""
