"""The text encoder of Stable Diffusion 1 and 2 as a part of its own. Only methods that are trained edit it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from editc.core.family import LAST_BLOCK, Family, Group
from editc.families.images.contexts import CONTEXTS

_ATTENTION = "*layers.{}.self_attn.{}.weight"
_FEED_FORWARD = "*layers.{}.mlp.{}.weight"

LAYERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "attention": (_ATTENTION.format("*", "*_proj"),),
        "feed-forward": (_FEED_FORWARD.format("*", "fc?"),),
        "last-attention": (_ATTENTION.format(LAST_BLOCK, "*_proj"),),
        "last-feed-forward": (_FEED_FORWARD.format(LAST_BLOCK, "fc?"),),
    }
)
"""Kind of layer -> names of its matrices in a CLIP text encoder of transformers, for training."""

SD_TEXT = Family(
    name="sd-text",
    title="the text encoder of Stable Diffusion 1 and 2",
    component="text_encoder",
    patterns={
        **{role: _ATTENTION.format("*", role) for role in ("q_proj", "k_proj", "v_proj", "out_proj")},
        **{role: _FEED_FORWARD.format("*", role) for role in ("fc1", "fc2")},
    },
    marker=None,
    text_width=None,
    neutral="",
    default_method="des",
    contexts=CONTEXTS,
    default_roles=(),
    groups={
        "states": Group(
            ("q_proj", "k_proj", "v_proj", "fc1"), (), "the states of the tokens, after the LayerNorm of their block"
        ),
        "heads": Group(("out_proj",), (), "what the heads of an attention gather"),
        "hidden": Group(("fc2",), (), "the hidden states of a feed-forward layer"),
    },
    layers=LAYERS,
    notes=(
        "what no prompt reaches is not edited: rows that are given to the denoiser, and pictures as input",
        "the certificate and the null space of preserved rows are for matrices that read the rows; here rows change",
    ),
)
"""The CLIP text encoder of Stable Diffusion 1 and 2. Its matrices read states, not rows, so it has no closed form."""
