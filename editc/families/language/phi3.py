"""The family of Phi-3: queries, keys and values in one matrix, gate and up in another.

The output matrices of MLP and attention are separate, as in Llama.
"""

from __future__ import annotations

from editc.families.language.transformers_layers import decoder

PHI3 = decoder(
    name="phi3",
    title="Phi-3",
    model_types=("phi3",),
    required_parameters=("*layers.*.mlp.gate_up_proj.weight", "*layers.*.self_attn.qkv_proj.weight"),
)
