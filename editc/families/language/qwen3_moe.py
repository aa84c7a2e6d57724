"""The family of Qwen 3 with experts. Each expert has three matrices of its own; some layers may have no experts."""

from __future__ import annotations

from editc.families.language.transformers_layers import ROUTED_NOTE, expert_decoder

QWEN3_MOE = expert_decoder(
    name="qwen3-moe",
    title="Qwen 3 with experts",
    model_types=("qwen3_moe",),
    required_parameters=("*layers.*.mlp.gate.weight", "*layers.*.mlp.experts.*.gate_proj.weight"),
    experts="*layers.*.mlp.experts.*.down_proj.weight",
    notes=(ROUTED_NOTE,),
)
