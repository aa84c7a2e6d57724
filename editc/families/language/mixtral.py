"""The family of Mixtral: each layer has a router and experts, and each expert has three matrices of its own."""

from __future__ import annotations

from editc.families.language.transformers_layers import ROUTED_NOTE, expert_decoder

MIXTRAL = expert_decoder(
    name="mixtral",
    title="Mixtral",
    model_types=("mixtral",),
    required_parameters=("*layers.*.block_sparse_moe.gate.weight",),
    experts="*layers.*.block_sparse_moe.experts.*.w2.weight",
    notes=(ROUTED_NOTE,),
)
