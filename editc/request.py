"""What the user asked: the manifest as frozen values, every field with its place in the YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal, TypeAlias

Scalar: TypeAlias = str | int | float | bool
KeyRule: TypeAlias = Literal["aligned", "last", "span", "matched", "eot"]
Strength: TypeAlias = float | Literal["auto"]

_NOWHERE: Mapping[str, Span] = MappingProxyType({})
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # YAML's own: lines are counted as its marks count them


@dataclass(frozen=True, order=True)
class Span:
    """A stretch of one source line: 1-based `line` and `column`, `length` in characters (at least 1)."""

    line: int
    column: int
    length: int = 1


@dataclass(frozen=True)
class Source:
    """A text that diagnostics point into: its name as the user typed it, and its characters.

    `overrides` are the `KEY=VALUE` of `--set`. They are counted as lines after the last one of the text, so that every
    Span of a manifest can be shown with its source, whether the value came from the file or from the command line.
    """

    name: str
    text: str
    overrides: tuple[str, ...] = ()

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The lines of the text, then one `--set KEY=VALUE` for each override."""
        return (*_LINE_BREAK.split(self.text), *(f"--set {override}" for override in self.overrides))

    def line(self, number: int) -> str:
        """Line `number` (1-based) without its line break; empty beyond the end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def is_override(self, span: Span) -> bool:
        """True if `span` stands in a `--set` and not in the file."""
        return span.line > len(self.lines) - len(self.overrides)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A manifest block that remembers where each of its fields stands; `""` is the block itself.

    `"concepts"` is a field's value, `"concepts.0"` an item of it, `"concepts:"` its key. A field that was given but
    could not be read has a place all the same.
    """

    spans: Mapping[str, Span] = field(default_factory=lambda: _NOWHERE, compare=False, repr=False)

    def at(self, name: str = "") -> Span | None:
        """The place of field `name`, else of the block, else None (for a value made in Python)."""
        return self.spans.get(name, self.spans.get(""))


@dataclass(frozen=True, kw_only=True)
class TokenWeights(Placed):
    """What each anchor of `keys: eot` counts; the defaults are TRCE's published ones, the first EOT alone."""

    bos: float = 0.0
    eot: float = 1.0
    last: float = 0.0
    keyword: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Measuring(Placed):
    """How `moderate` searches for the pulls that give the wanted shares: `pictures` of the concept in each of at most
    `rounds` edits, until every share is within `tolerance`, which is where UCE's debiasing stops as well."""

    pictures: int = 40
    rounds: int = 12
    tolerance: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Request(Placed):
    """One item of `edits`.

    `erase` and `replace` map `concept` (and every name in `also`) to `to` (None: the family's neutral concept);
    `moderate` maps it to itself plus the weighted concepts of `toward` (UCE's debiasing with given shares); with
    `shares`, those of `toward` are what pictures must show, and the weights are found (`passes.moderate`).
    `fuse` adds a trained adapter, the file `adapter`; its `concept` is what the file erases, else the file's name.
    """

    kind: Literal["erase", "replace", "moderate", "fuse"]
    concept: str
    adapter: str = ""
    also: tuple[str, ...] = ()
    to: str | None = None
    toward: tuple[tuple[str, float], ...] = ()
    shares: Measuring | None = None
    method: str | None = None
    options: Mapping[str, Scalar] = field(default_factory=dict)
    keys: KeyRule | None = None
    token_weights: TokenWeights = field(default_factory=TokenWeights)
    expand: Literal["object", "art"] | None = None
    contexts: tuple[str, ...] | None = None
    strength: Strength = 1.0
    scale: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """The concept and its other names, in the order given."""
        return (self.concept, *self.also)


@dataclass(frozen=True, kw_only=True)
class Preserve(Placed):
    """What must stay: concepts go through the same contexts as the edits, prompts stand as they are."""

    concepts: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    weight: float | None = None


@dataclass(frozen=True, kw_only=True)
class Choice(Placed):
    """Which matrices: roles (`k`, `v`; none named: the family's own), then fnmatch patterns over parameter names; then,
    where `auto` is a share, the fewest of them that carry that share of the edited concepts."""

    roles: tuple[str, ...] = ()
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    auto: float | None = None


@dataclass(frozen=True, kw_only=True)
class Constraints(Placed):
    """Bounds that a build must meet; all are maxima, None asks nothing. Definitions stand in DESIGN 5."""

    erase_residual: float | None = None
    recoverable: float | None = None
    preserve_drift: float | None = None
    unconditional_drift: float | None = None
    rank: int | None = None


@dataclass(frozen=True, kw_only=True)
class PictureCheck(Placed):
    """`verify.images`: pictures before and after, judged by a detector."""

    detector: str
    prompts_per_concept: int = 20
    steps: int = 25
    guidance: float = 7.5
    erased_at_most: float | None = None
    kept_loss_at_most: float | None = None
    share_gap_at_most: float | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest(Placed):
    """A whole request. `files` of `preserve` are already read into `kept`; `digest` is sha256 over the source text."""

    source: Source
    digest: str
    model: str
    edits: tuple[Request, ...]
    preserve: Preserve = field(default_factory=Preserve)
    kept: tuple[str, ...] = ()
    contexts: tuple[str, ...] | None = None
    choice: Choice = field(default_factory=Choice)
    constraints: Constraints = field(default_factory=Constraints)
    pictures: PictureCheck | None = None
    emit: tuple[str, ...] = ()
    seed: int = 0
    encoder: str | None = None

    @property
    def method(self) -> str | None:
        """The method that the edits name (they are solved together, so they name at most one); None: the family's."""
        return next((edit.method for edit in self.edits if edit.method is not None), None)

    @property
    def fused(self) -> bool:
        """True where adapters are fused; nothing else is solved in such a manifest."""
        return any(edit.kind == "fuse" for edit in self.edits)

    @property
    def keys(self) -> KeyRule:
        """The key rule of all edits, for weights of different rules have different scales; they name at most one."""
        return next((edit.keys for edit in self.edits if edit.keys is not None), "aligned")

    @property
    def options(self) -> Mapping[str, Scalar]:
        """The options that the edits give to the method, together."""
        return {name: value for edit in self.edits for name, value in edit.options.items()}
