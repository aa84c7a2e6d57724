"""GPT-2: Conv1D layers, which store a weight as (d_in, d_out) and have biases."""

from __future__ import annotations

from editc.families.transformers_layers import CONTEXTS, SEES
from editc.family import Family

GPT2 = Family(
    name="gpt2",
    title="GPT-2",
    component="model",
    patterns={"mlp": "*h.*.mlp.c_proj.weight", "attention": "*h.*.attn.c_proj.weight"},
    marker=None,
    text_width=None,
    neutral="",
    default_method="rome",
    contexts=CONTEXTS,
    groups=SEES,
    streams={},
    models="language",
    edited=("mlp",),
    signs=("*h.*.attn.c_attn.weight",),
    transposed=True,
    notes=(
        "weights are stored (d_in, d_out); a delta is of their transpose",
        "biases stay as they are: a value is W k without them",
    ),
)
