"""How one family of models names and shapes its weights, and what its layers read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

LAST_BLOCK = "{last}"
"""Stands in `Family.layers` for the number of a network's last block."""
TEXT_ENCODER = "text_encoder"
"""The component whose rows a denoiser reads."""
Take: TypeAlias = Literal["last", "penultimate", "final", "pooled", "t5"]
"""Which output of a text encoder a stream takes: see `Stream.take`."""


@dataclass(frozen=True)
class Stream:
    """Rows that a pipeline makes of a prompt: the outputs of some text encoders, side by side along the width."""

    parts: tuple[str, ...]
    """Folders of the encoders, in the order in which the pipeline puts their outputs side by side. Each encoder reads
    with the tokenizer of the same number (`text_encoder_2` with `tokenizer_2`). A part that a pipeline lacks is left
    out."""
    take: Take
    """CLIP: the rows of the `last` hidden state after the final LayerNorm, those of the `penultimate` or `final` entry
    of the hidden states, or the one `pooled` row (projected where the encoder has a projection). `t5`: the rows of a
    T5."""
    length: int = 0
    """How many tokens a T5 reads. 0 for CLIP."""
    lengths: Mapping[str, int] = field(default_factory=dict)
    """Pipeline class -> how many tokens its T5 reads, where that differs from `length`."""
    masked: bool = False
    """True where the edited layers do not see the padding. Then padding has no rows."""
    attended: bool = False
    """True where the text encoder is told which tokens are padding."""
    lowered: bool = False
    """True where the pipeline strips prompts and makes them lower-case."""
    through: str = ""
    """Prefix of parameters of the edited component: a network of two layers that rows pass before they reach any site.
    Empty: there is none."""


@dataclass(frozen=True)
class Group:
    """Sites that see the same input."""

    roles: tuple[str, ...]
    """The roles of the sites."""
    streams: tuple[str, ...]
    """The streams whose rows are the input, one after the other."""
    sees: str
    """What the input is, in words, for reports."""
    leading: bool = False
    """True where the rows fill only the first columns of the input. The other entries of the keys are 0, so the weights
    there keep every bit."""


CLIP_ROWS: Mapping[str, Stream] = MappingProxyType({"text": Stream(("text_encoder",), "last")})
"""The one stream of most families: the rows of one CLIP text encoder."""
CROSS_ATTENTION: Mapping[str, Group] = MappingProxyType(
    {"text": Group(("k", "v"), ("text",), "every row of the text encoder, after its final LayerNorm")}
)
"""The one group of most families: the key and value matrices of cross-attention."""


@dataclass(frozen=True)
class Family:
    """How one family of models names and shapes its weights, and what its layers read.

    In a family of language models no streams feed the sites: each matrix reads what the model makes of the text, layer
    by layer. A site's group is then its layer (`layers.5`).
    """

    name: str
    """The name in the registry, in deltas and reports."""
    title: str
    """The name for people."""
    component: str
    """The part of a pipeline that is edited, such as `unet`."""
    patterns: Mapping[str, str]
    """Role -> pattern (fnmatch) over parameter names of its matrices."""
    marker: tuple[str, int] | None
    """A pattern over parameter names and their number of dimensions, where only that tells the family from another with
    the same names. None where names are enough."""
    text_width: int | None
    """d_in of every site. None: any."""
    neutral: str
    """The prompt that stands for no concept: the target where a manifest gives none."""
    default_method: str
    """The method of a manifest that names none."""
    contexts: tuple[str, ...]
    """The sentences with one `{}` that names are put into, where neither manifest nor model has any."""
    default_roles: tuple[str, ...] = ("k", "v")
    """The roles that are edited unless the manifest names others."""
    required_parameters: tuple[str, ...] = ()
    """Patterns of further parameters that a model of the family must have."""
    groups: Mapping[str, Group] = field(default_factory=lambda: CROSS_ATTENTION)
    """Name of a group -> which roles it has and what they read. Image models only."""
    streams: Mapping[str, Stream] = field(default_factory=lambda: CLIP_ROWS)
    """Name of a stream -> what it is made of. Image models only."""
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Kind of layer -> patterns over the parameter names of its matrices, for methods that are trained. Empty: the
    family has no layers to train."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Another component of the pipeline that can be edited -> the name of its family."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Role -> why it cannot be edited, for the error."""
    notes: tuple[str, ...] = ()
    """What an edit of this family does not do, in sentences for the report."""
    models: Literal["image", "language", "classifier"] = "image"
    """The kind of model."""
    transposed: bool = False
    """True where matrices are stored as (d_in, d_out)."""
    normed: bool = False
    """Language models: True where what a matrix writes is normalised before it reaches the residual stream."""
    model_types: tuple[str, ...] = ()
    """Language models: what `model_type` in config.json is for models of this family."""

    def group_of(self, role: str) -> str:
        """The group that a role's sites belong to."""
        return next(name for name, group in self.groups.items() if role in group.roles)

    def reads_text(self, group: str) -> bool:
        """True for a group whose sites read the rows of a text encoder."""
        return group in self.groups and bool(self.groups[group].streams)
