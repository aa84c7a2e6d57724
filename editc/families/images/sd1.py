"""The family of Stable Diffusion 1.x: a UNet whose cross-attention reads CLIP rows.

Unlike in 2.x, the layers around its transformers are convolutions, so their weights have four dimensions.
"""

from __future__ import annotations

from editc.core.family import Family
from editc.families.images.contexts import CONTEXTS

PATTERNS = {"k": "*.attn2.to_k.weight", "v": "*.attn2.to_v.weight"}
"""Role -> names of the key and value matrices of cross-attention in a UNet of diffusers."""

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
)
