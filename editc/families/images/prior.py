"""The families whose edited part is a prior, which makes image embeddings: Stable Cascade and Kandinsky 2.2.

CLIP rows and a pooled embedding enter through one projection each.
"""

from __future__ import annotations

from editc.core.family import Family, Group, Stream
from editc.families.images.contexts import CONTEXTS

CASCADE = Family(
    name="cascade",
    title="Stable Cascade (prior)",
    component="prior",
    patterns={"entry": "clip_txt_mapper.weight", "pooled": "clip_txt_pooled_mapper.weight"},
    marker=("clip_txt_mapper.weight", 2),
    text_width=1280,
    neutral="",
    default_method="uce",
    contexts=CONTEXTS,
    default_roles=("entry",),
    groups={
        "text": Group(("entry",), ("text",), "the final entry (1280) of OpenCLIP-G's hidden states"),
        "pooled": Group(("pooled",), ("pooled",), "the pooled text embedding (1280) of OpenCLIP-G, made into 4 rows"),
    },
    streams={
        "text": Stream(("text_encoder",), "final", attended=True),
        "pooled": Stream(("text_encoder",), "pooled", attended=True),
    },
    notes=(
        "the projections have a bias; an edit does not change it, and targets leave it out",
        "a normalisation follows the projections, so only the direction of an output counts, not its length",
        "the pooled embedding makes 4 more rows without the edited layer; the report measures them as `leak`",
        "the decoder is another pipeline that reads the pooled embedding; it is not edited",
    ),
)
"""Stable Cascade's prior."""

KANDINSKY22 = Family(
    name="kandinsky22",
    title="Kandinsky 2.2 (prior)",
    component="prior",
    patterns={"entry": "encoder_hidden_states_proj.weight", "pooled": "embedding_proj.weight"},
    marker=("prd_embedding", 3),
    text_width=1280,
    neutral="",
    default_method="uce",
    contexts=CONTEXTS,
    default_roles=("entry",),
    groups={
        "text": Group(
            ("entry",), ("text",), "the rows (1280) of OpenCLIP-G after its final LayerNorm, without padding"
        ),
        "pooled": Group(("pooled",), ("pooled",), "the pooled text embedding (1280) of OpenCLIP-G"),
    },
    streams={
        "text": Stream(("text_encoder",), "last", masked=True),
        "pooled": Stream(("text_encoder",), "pooled"),
    },
    notes=(
        "the projections have a bias; an edit does not change it, and targets leave it out",
        "the pooled embedding is one more token, which the edited layer does not see; the report measures it as `leak`",
        "the decoder is another pipeline, which reads image embeddings and no text; it is not edited",
    ),
)
"""Kandinsky 2.2's prior, the part that reads text."""
