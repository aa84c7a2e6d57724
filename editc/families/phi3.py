"""Phi-3: queries, keys and values in one matrix, gate and up in another; down and out by themselves."""

from __future__ import annotations

from editc.families.transformers_layers import CONTEXTS, DOWN, OUT, SEES
from editc.family import Family

PHI3 = Family(
    name="phi3",
    title="Phi-3",
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
    signs=("*layers.*.mlp.gate_up_proj.weight", "*layers.*.self_attn.qkv_proj.weight"),
)
