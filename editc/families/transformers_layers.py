"""What families of language models have in common: who writes to the residual stream, and what these matrices read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from editc.family import Group
from editc.language import PREFIXES

DOWN, OUT = "*layers.*.mlp.down_proj.weight", "*layers.*.self_attn.o_proj.weight"
CONTEXTS = tuple(prefix + "{}" for prefix in PREFIXES)
SEES: Mapping[str, Group] = MappingProxyType(
    {
        "mlp": Group(("mlp",), (), "the inner activations of its layer's MLP at each token: keys of a memory"),
        "attention": Group(("attention",), (), "the values that its layer's heads gather, side by side"),
    }
)
"""Sites of one layer are solved together; a delta's groups are the layers (`layers.5`)."""
ROUTED = (
    "an expert reads only the tokens that the router sends it, so what it reads at a subject is not asked for: methods "
    "that need keys take `attention`; those that need the residual stream alone (ablate, leace) take `mlp` too"
)
