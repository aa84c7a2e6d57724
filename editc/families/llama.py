"""Llama 1 to 3, SmolLM, Mistral, Qwen 2 to 3: an MLP of three matrices with a norm before it."""

from __future__ import annotations

from editc.families.transformers_layers import CONTEXTS, DOWN, OUT, SEES
from editc.family import Family

LLAMA = Family(
    name="llama",
    title="Llama, Mistral, Qwen, SmolLM",
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
    edited=("mlp",),
    signs=("*layers.*.mlp.gate_proj.weight", "*layers.*.self_attn.q_proj.weight"),
)
