"""The family of Phi-1, 1.5 and 2: MLP and attention side by side after one norm, with biases."""

from __future__ import annotations

from editc.families.language.transformers_layers import BIASED_NOTE, decoder

PHI = decoder(
    name="phi",
    title="Phi-1 and 2",
    model_types=("phi",),
    required_parameters=("*layers.*.mlp.fc1.weight", "*layers.*.self_attn.q_proj.weight"),
    mlp="*layers.*.mlp.fc2.weight",
    attention="*layers.*.self_attn.dense.weight",
    notes=(BIASED_NOTE,),
)
