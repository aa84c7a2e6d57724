"""What families of language models share: the matrices that write to the residual stream, and what these read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from editc.core.family import Family, Group
from editc.core.prompts import PREFIXES

MLP_OUTPUT, ATTENTION_OUTPUT = "*layers.*.mlp.down_proj.weight", "*layers.*.self_attn.o_proj.weight"
"""The usual names of the last matrix of an MLP and of the output matrix of an attention."""
ATTENTION_LAYER_TYPES = frozenset({"full_attention", "sliding_attention", "chunked_attention"})
"""Types of layers, as transformers names them in `layer_types`, that ignore padding after a text and can continue from
cached keys and values. A recurrent layer would read the padding as words."""
CONTEXTS = tuple(prefix + "{}" for prefix in PREFIXES)
"""Sentence beginnings with `{}` for what follows them, in which prompts are read."""
GROUPS: Mapping[str, Group] = MappingProxyType(
    {
        "mlp": Group(("mlp",), (), "the inner activations of its layer's MLP at each token: keys of a memory"),
        "attention": Group(("attention",), (), "the values that its layer's heads gather, side by side"),
    }
)
"""What the matrices of each role read. The sites of one layer are solved together, so the groups of a delta are layers
(`layers.5`)."""
ROUTED_NOTE = (
    "facts and concepts are edited in `attention` by default; with `sites: {roles: [mlp]}` methods that spread an edit "
    "over layers (memit, alphaedit, rocr) write it into the experts to which the router sends the subject. Methods for "
    "one matrix, and those that train, do not edit experts"
)
"""What an edit does not do in a model with experts. Part of `notes`."""
NORMED_NOTES = (
    "what a matrix writes is normalised, token by token, before it reaches the residual stream: rome is exact, because "
    "its value is the matrix's own output; memit, rocr and transplant change the stream, and that change is rescaled",
    "ablate and leace are not exact: the norm has a weight for each channel, which changes a direction",
    "concept-vectors removes columns exactly, but scores them without this norm",
)
"""What an edit does not do if a norm stands between the output of a matrix and the residual stream. Part of `notes`."""
BIASED_NOTE = "an edit does not change biases: a value is W k without the bias"
"""What an edit leaves alone in a model with biases. Part of `notes`."""


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
    """Return a family of decoders in which each layer has one MLP and one attention that add to the residual stream.

    `mlp` and `attention` are the names of their output matrices. Facts are edited in the MLP. The other arguments are
    fields of `Family`.
    """
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
    """Return a family of decoders with a router and experts in each layer. Facts are edited in the attention.

    `experts` are the names of the experts' output matrices. It is empty if the experts are no single matrices, and
    `refused` then says why they cannot be edited. The other arguments are fields of `Family`.
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
