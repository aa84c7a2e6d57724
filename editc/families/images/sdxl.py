"""The family of Stable Diffusion XL: two CLIP encoders side by side.

The pooled embedding of the second joins the embedding of the time step.
"""

from __future__ import annotations

from editc.core.family import Family, Group, Stream
from editc.families.images.contexts import CONTEXTS
from editc.families.images.sd1 import PATTERNS

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
