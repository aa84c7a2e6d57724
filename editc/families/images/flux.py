"""The family of FLUX.1: the rows of a T5 enter through one projection, and a pooled CLIP embedding through another."""

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
