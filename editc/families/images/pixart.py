"""The family of PixArt-alpha and PixArt-Sigma.

The rows of a T5 are projected once, and cross-attention in every block reads the result.
"""

from __future__ import annotations

from editc.core.family import Family, Group, Stream
from editc.families.images.contexts import CONTEXTS

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
