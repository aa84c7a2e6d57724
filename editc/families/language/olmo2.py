"""The family of OLMo 2: norms after the MLP and after the attention, and none before them."""

from __future__ import annotations

from editc.families.language.transformers_layers import NORMED_NOTES, decoder

OLMO2 = decoder(
    name="olmo2",
    title="OLMo 2",
    model_types=("olmo2",),
    required_parameters=(
        "*layers.*.mlp.gate_proj.weight",
        "*layers.*.self_attn.q_proj.weight",
        "*layers.*.post_feedforward_layernorm.weight",
    ),
    notes=NORMED_NOTES,
    normed=True,
)
