"""The family of GPT-2: its Conv1D layers store a weight as (d_in, d_out) and have biases."""

from __future__ import annotations

from editc.families.language.transformers_layers import BIASED_NOTE, decoder

GPT2 = decoder(
    name="gpt2",
    title="GPT-2",
    model_types=("gpt2",),
    required_parameters=("*h.*.attn.c_attn.weight",),
    mlp="*h.*.mlp.c_proj.weight",
    attention="*h.*.attn.c_proj.weight",
    transposed=True,
    notes=("weights are stored (d_in, d_out); a delta is of their transpose", BIASED_NOTE),
)
