"""The family of GPT-J: MLP and attention side by side after one norm; the MLP has biases."""

from __future__ import annotations

from editc.families.language.transformers_layers import BIASED_NOTE, decoder

GPTJ = decoder(
    name="gptj",
    title="GPT-J",
    model_types=("gptj",),
    required_parameters=("*h.*.mlp.fc_in.weight", "*h.*.attn.q_proj.weight"),
    mlp="*h.*.mlp.fc_out.weight",
    attention="*h.*.attn.out_proj.weight",
    notes=(BIASED_NOTE,),
)
