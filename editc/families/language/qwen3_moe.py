"""Qwen 3 with experts, each with three matrices of its own, also beside layers without experts."""

from __future__ import annotations

from editc.core.family import Family
from editc.families.language.transformers_layers import CONTEXTS, OUT, ROUTED, SEES

QWEN3_MOE = Family(
    name="qwen3-moe",
    title="Qwen 3 with experts",
    component="model",
    patterns={"attention": OUT, "mlp": "*layers.*.mlp.experts.*.down_proj.weight"},
    marker=None,
    text_width=None,
    neutral="",
    default_method="memit",
    contexts=CONTEXTS,
    groups=SEES,
    streams={},
    models="language",
    kinds=("qwen3_moe",),
    edited=("attention",),
    signs=("*layers.*.mlp.gate.weight", "*layers.*.mlp.experts.*.gate_proj.weight"),
    notes=(ROUTED,),
)
