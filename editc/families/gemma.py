"""Gemma 2 and 3: a norm behind the MLP and behind the attention as well as before them."""

from __future__ import annotations

from editc.families.transformers_layers import CONTEXTS, DOWN, OUT, SEES
from editc.family import Family

GEMMA = Family(
    name="gemma",
    title="Gemma 2 and 3",
    component="model",
    patterns={"mlp": DOWN, "attention": OUT},
    marker=None,
    text_width=None,
    neutral="",
    default_method="rome",
    contexts=CONTEXTS,
    groups=SEES,
    streams={},
    models="language",
    normed=True,
    edited=("mlp",),
    signs=(
        "*layers.*.mlp.gate_proj.weight",
        "*layers.*.self_attn.q_proj.weight",
        "*layers.*.pre_feedforward_layernorm.weight",
        "*layers.*.post_feedforward_layernorm.weight",
    ),
    notes=(
        "what a matrix writes is normalised, token by token, before it reaches the residual stream: rome is exact, for "
        "its value is the matrix's own output; a wanted change of the stream (memit, rocr, transplant) lands rescaled",
        "ablate and leace are not exact: the norm has a weight for each channel, which turns a direction",
        "concept-vectors takes columns out exactly, but finds them as they are before that norm",
    ),
)
