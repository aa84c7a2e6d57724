"""The family of gpt-oss: all experts of a layer are one tensor (experts, d_in, d_out), with biases."""

from __future__ import annotations

from editc.families.language.transformers_layers import expert_decoder

GPT_OSS = expert_decoder(
    name="gpt-oss",
    title="gpt-oss",
    model_types=("gpt_oss",),
    required_parameters=("*layers.*.mlp.router.weight", "*layers.*.mlp.experts.down_proj*"),
    refused={
        "mlp": "the experts of a layer are one tensor of three dimensions, often in 4 bits, and a site is one matrix; "
        "no adapter format can carry a change of it"
    },
)
