"""What families of language models have in common: who writes to the residual stream, and what these matrices read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from editc.core.family import Family, Group
from editc.core.network import PREFIXES

MLP_OUTPUT, ATTENTION_OUTPUT = "*layers.*.mlp.down_proj.weight", "*layers.*.self_attn.o_proj.weight"
ATTENTION_LAYER_TYPES = frozenset({"full_attention", "sliding_attention", "chunked_attention"})
"""Layers to which padding behind a text, and a text begun from kept keys and values, are nothing: a recurrent one reads
them as words."""
CONTEXTS = tuple(prefix + "{}" for prefix in PREFIXES)
GROUPS: Mapping[str, Group] = MappingProxyType(
    {
        "mlp": Group(("mlp",), (), "the inner activations of its layer's MLP at each token: keys of a memory"),
        "attention": Group(("attention",), (), "the values that its layer's heads gather, side by side"),
    }
)
"""Sites of one layer are solved together; a delta's groups are the layers (`layers.5`)."""
ROUTED_NOTE = (
    "an expert reads only the tokens that the router sends it, so what it reads at a subject is not asked for: methods "
    "that need keys take `attention`; those that need the residual stream alone (ablate, leace) take `mlp` too"
)
NORMED_NOTES = (
    "what a matrix writes is normalised, token by token, before it reaches the residual stream: rome is exact, for "
    "its value is the matrix's own output; a wanted change of the stream (memit, rocr, transplant) lands rescaled",
    "ablate and leace are not exact: the norm has a weight for each channel, which turns a direction",
    "concept-vectors takes columns out exactly, but finds them as they are before that norm",
)
"""What an edit is not where a norm stands between what a matrix writes and the stream."""
BIASED_NOTE = "biases stay as they are: a value is W k without them"


def decoder(
    name: str,
    title: str,
    model_types: tuple[str, ...],
    required_parameters: tuple[str, ...],
    mlp: str = MLP_OUTPUT,
    attention: str = ATTENTION_OUTPUT,
    notes: tuple[str, ...] = (),
    transposed: bool = False,
    normed: bool = False,
) -> Family:
    """A family of decoders whose layers each have one MLP and one attention that add to the residual stream; `mlp` and
    `attention` are the matrices that lead out of them. Facts go into the MLP."""
    return Family(
        name=name,
        title=title,
        component="model",
        patterns={"mlp": mlp, "attention": attention},
        marker=None,
        text_width=None,
        neutral="",
        default_method="rome",
        contexts=CONTEXTS,
        groups=GROUPS,
        streams={},
        models="language",
        default_roles=("mlp",),
        required_parameters=required_parameters,
        notes=notes,
        transposed=transposed,
        normed=normed,
        model_types=model_types,
    )


def expert_decoder(
    name: str,
    title: str,
    model_types: tuple[str, ...],
    required_parameters: tuple[str, ...],
    experts: str = "",
    notes: tuple[str, ...] = (),
    refused: Mapping[str, str] = MappingProxyType({}),
) -> Family:
    """A family of decoders with a router and experts in each layer. Facts go into the attention.

    `experts` names the matrices that lead out of the experts; '' where they are no matrices, and `refused` says so.
    """
    return Family(
        name=name,
        title=title,
        component="model",
        patterns={"attention": ATTENTION_OUTPUT, **({"mlp": experts} if experts else {})},
        marker=None,
        text_width=None,
        neutral="",
        default_method="memit",
        contexts=CONTEXTS,
        groups=GROUPS,
        streams={},
        models="language",
        model_types=model_types,
        default_roles=("attention",),
        required_parameters=required_parameters,
        notes=notes,
        refused=refused,
    )
