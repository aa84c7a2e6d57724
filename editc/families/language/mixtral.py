"""Mixtral: in each layer a router and experts, each with three matrices of its own."""

from __future__ import annotations

from editc.core.family import Family
from editc.families.language.transformers_layers import CONTEXTS, OUT, ROUTED, SEES

MIXTRAL = Family(
    name="mixtral",
    title="Mixtral",
    component="model",
    patterns={"attention": OUT, "mlp": "*layers.*.block_sparse_moe.experts.*.w2.weight"},
    marker=None,
    text_width=None,
    neutral="",
    default_method="memit",
    contexts=CONTEXTS,
    groups=SEES,
    streams={},
    models="language",
    kinds=("mixtral",),
    edited=("attention",),
    signs=("*layers.*.block_sparse_moe.gate.weight",),
    notes=(ROUTED,),
)
