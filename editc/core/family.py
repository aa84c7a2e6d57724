"""How one kind of model names and shapes its weights, and what its layers are given to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

Take: TypeAlias = Literal["last", "penultimate", "final", "pooled", "t5"]


@dataclass(frozen=True)
class Stream:
    """One thing that a pipeline makes of a prompt: the outputs of some text encoders, side by side along the width."""

    parts: tuple[str, ...]
    """Folders of the encoders, in the order of the pipeline's own concatenation. Each reads with the tokenizer of the
    same number (`text_encoder_2` with `tokenizer_2`). Those that a pipeline lacks are left out."""
    take: Take
    """CLIP: rows of the `last` hidden state after the final LayerNorm, of the `penultimate` or the `final` entry of the
    hidden states, or the one `pooled` row (projected where there is a projection). `t5`: the rows of a T5."""
    length: int = 0
    """Tokens that a T5 reads."""
    lengths: Mapping[str, int] = field(default_factory=dict)
    """Pipeline class -> tokens that its T5 reads, where that is not `length`."""
    masked: bool = False
    """True: the edited layers do not see the padding, so it has no rows."""
    attended: bool = False
    """True: the encoder itself reads which tokens are padding."""
    lowered: bool = False
    """True: prompts are stripped and lower-cased first."""
    through: str = ""
    """A prefix of parameters of the edited component, through whose two layers the rows go before any site. Empty:
    none."""


@dataclass(frozen=True)
class Group:
    """Sites that see the same input."""

    roles: tuple[str, ...]
    """The roles of the sites."""
    streams: tuple[str, ...]
    """The streams whose rows, one after the other, are the input."""
    sees: str
    """What the input is, in words."""
    leading: bool = False
    """True: the rows fill the first columns only. In the keys the others are 0, so that their weights stay, bit for
    bit."""


CLIP_ROWS: Mapping[str, Stream] = MappingProxyType({"text": Stream(("text_encoder",), "last")})
CROSS_ATTENTION: Mapping[str, Group] = MappingProxyType(
    {"text": Group(("k", "v"), ("text",), "every row of the text encoder, after its final LayerNorm")}
)


@dataclass(frozen=True)
class Family:
    """How one kind of model names and shapes its weights; `text_width` is d_in of every site (None: any).

    `marker` is a parameter whose number of dimensions tells families with equal names apart; `signs` are patterns of
    further parameters that must be there. `patterns` has the parameters of each role, `edited` the roles that are
    edited unless a manifest names others, `refused` why a role cannot be. `groups` say what each role's layers see,
    `streams` what that is made of. A group that is not edited is a leak.
    `neutral` is the prompt that stands for no concept; `contexts` are the sentences that a concept is put into.
    `notes` say what an edit of this family is not.
    A family that `models` language has no streams: its matrices read what the model makes of text, layer by layer, and
    a site's group is its layer (`layers.5`). `transposed`: matrices are stored (d_in, d_out). `normed`: what they write
    is normalised before it reaches the residual stream. `kinds`: what `model_type` in config.json is for such models.
    """

    name: str
    title: str
    component: str
    patterns: Mapping[str, str]
    marker: tuple[str, int] | None
    text_width: int | None
    neutral: str
    default_method: str
    contexts: tuple[str, ...]
    default_roles: tuple[str, ...] = ("k", "v")
    required_parameters: tuple[str, ...] = ()
    groups: Mapping[str, Group] = field(default_factory=lambda: CROSS_ATTENTION)
    streams: Mapping[str, Stream] = field(default_factory=lambda: CLIP_ROWS)
    refused: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    models: Literal["image", "language"] = "image"
    transposed: bool = False
    normed: bool = False
    model_types: tuple[str, ...] = ()

    def group_of(self, role: str) -> str:
        """The group that a role's sites belong to."""
        return next(name for name, group in self.groups.items() if role in group.roles)
