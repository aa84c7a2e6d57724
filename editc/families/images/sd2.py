"""Stable Diffusion 2.x: as 1.x, with linear layers around its transformers and a wider text encoder."""

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
