"""The family of Falcon: MLP and attention side by side; queries, keys and values in one matrix."""

from __future__ import annotations

from editc.families.language.transformers_layers import decoder

FALCON = decoder(
    name="falcon",
    title="Falcon",
    model_types=("falcon",),
    required_parameters=("*h.*.mlp.dense_h_to_4h.weight", "*h.*.self_attention.query_key_value.weight"),
    mlp="*h.*.mlp.dense_4h_to_h.weight",
    attention="*h.*.self_attention.dense.weight",
    notes=("Falcon-RW (ALiBi in place of rotary positions) is refused (E206)",),
)
