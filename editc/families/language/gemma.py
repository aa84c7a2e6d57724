"""The family of Gemma 2 and 3: norms both before and after the MLP and the attention."""

from __future__ import annotations

from editc.families.language.transformers_layers import NORMED_NOTES, decoder

GEMMA = decoder(
    name="gemma",
    title="Gemma 2 and 3",
    model_types=("gemma2", "gemma3_text"),
    required_parameters=(
        "*layers.*.mlp.gate_proj.weight",
        "*layers.*.self_attn.q_proj.weight",
        "*layers.*.pre_feedforward_layernorm.weight",
        "*layers.*.post_feedforward_layernorm.weight",
    ),
    notes=NORMED_NOTES,
    normed=True,
)
