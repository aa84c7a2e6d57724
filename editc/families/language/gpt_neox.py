"""The family of GPT-NeoX and Pythia: MLP and attention side by side; queries, keys and values in one matrix; biases."""

from __future__ import annotations

from editc.families.language.transformers_layers import BIASED_NOTE, decoder

GPT_NEOX = decoder(
    name="gpt-neox",
    title="GPT-NeoX, Pythia",
    model_types=("gpt_neox",),
    required_parameters=("*layers.*.mlp.dense_h_to_4h.weight", "*layers.*.attention.query_key_value.weight"),
    mlp="*layers.*.mlp.dense_4h_to_h.weight",
    attention="*layers.*.attention.dense.weight",
    notes=(BIASED_NOTE,),
)
