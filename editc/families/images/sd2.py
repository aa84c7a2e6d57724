"""The family of Stable Diffusion 2.x: like 1.x, with a wider text encoder and linear layers around its transformers."""

from __future__ import annotations

from editc.core.family import Family
from editc.families.images.contexts import CONTEXTS
from editc.families.images.sd1 import PATTERNS

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
)
