"""The family of Kandinsky 2.2's prior, the part that reads text.

CLIP rows and a pooled embedding enter through one projection each.
"""

from __future__ import annotations

from editc.core.family import Family, Group, Stream
from editc.families.images.contexts import CONTEXTS

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
