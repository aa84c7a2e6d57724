"""The family of OPT: its MLP is two matrices in the layer itself, with a norm before it; biases everywhere."""

from __future__ import annotations

from editc.families.language.transformers_layers import BIASED_NOTE, decoder

OPT = decoder(
    name="opt",
    title="OPT",
    model_types=("opt",),
    required_parameters=("*layers.*.fc1.weight", "*layers.*.self_attn_layer_norm.weight"),
    mlp="*layers.*.fc2.weight",
    attention="*layers.*.self_attn.out_proj.weight",
    notes=(BIASED_NOTE, "OPT-350m has its norms behind the sum and is refused (E206)"),
)
