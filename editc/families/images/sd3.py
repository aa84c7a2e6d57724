"""The family of Stable Diffusion 3 and 3.5.

The rows of two CLIPs and then those of a T5 enter through one projection.
"""

from __future__ import annotations

from editc.core.family import Family, Group, Stream
from editc.families.images.contexts import CONTEXTS
from editc.families.images.flux import BIAS_NOTE, JOINT_REASON

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
