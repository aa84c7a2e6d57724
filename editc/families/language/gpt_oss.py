"""gpt-oss: the experts of a layer lie in one tensor (experts, d_in, d_out), with biases."""

from __future__ import annotations

from editc.core.family import Family
from editc.families.language.transformers_layers import CONTEXTS, OUT, SEES

GPT_OSS = Family(
    name="gpt-oss",
    title="gpt-oss",
    component="model",
    patterns={"attention": OUT},
    marker=None,
    text_width=None,
    neutral="",
    default_method="memit",
    contexts=CONTEXTS,
    groups=SEES,
    streams={},
    models="language",
    kinds=("gpt_oss",),
    edited=("attention",),
    signs=("*layers.*.mlp.router.weight", "*layers.*.mlp.experts.down_proj*"),
    refused={
        "mlp": "the experts of a layer are one tensor of three dimensions, often in 4 bits, and a site is one matrix; "
        "no adapter format can carry a change of it"
    },
)
