"""What the user asks for: the manifest as frozen values. Every field remembers its place in the YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from editc.core.image_check import AttackCheck, ImageCheck, ShareSearch, SuiteCheck, TokenWeights
from editc.core.language_edits import Ablation, Corpus, Fact, Forget, LanguageEdit, Learn, Redirect
from editc.core.places import ManifestBlock, Scalar, Source
from editc.core.text import Attribute

Strength: TypeAlias = float | Literal["auto"]
"""How much of an edit is made, 0 to 1.5. `auto`: the least that meets the constraints."""


@dataclass(frozen=True, kw_only=True)
class Request(ManifestBlock):
    """One edit of an image model: one item of `edits`. The kinds do this:

    `erase` and `replace` map the names of the concept to a target. `moderate` maps the concept to itself plus the
    weighted concepts of `toward` (UCE's debiasing with given shares). `fuse` adds a trained adapter.
    """

    kind: Literal["erase", "replace", "moderate", "fuse"]
    """What the edit does."""
    concept: str
    """The concept to edit. For `fuse`: what the adapter erases, or the name of its file."""
    adapter: str = ""
    """For `fuse`: the file of the adapter. Empty for the other kinds."""
    also: tuple[str, ...] = ()
    """Other names of the concept, which are edited with it."""
    to: str | None = None
    """For `erase` and `replace`: the target. None: the family's neutral prompt."""
    toward: tuple[tuple[str, float], ...] = ()
    """For `moderate`: concepts with their shares, each 0 to 1. The shares are the pulls, or, where `shares` is given,
    the shares of pictures."""
    shares: ShareSearch | None = None
    """For `moderate`: how the pulls are searched for, so that pictures show the shares of `toward`
    (`passes.images.solve.moderate`). None: `toward` gives the pulls themselves."""
    method: str | None = None
    """The name of the method. None: the family's default method."""
    options: Mapping[str, Scalar] = field(default_factory=dict)
    """The options of the method that the manifest sets, by name."""
    keys: str | None = None
    """The name of a key rule (`editc.registry.key_rules`). None: that of another edit, of the method, or `aligned`."""
    token_weights: TokenWeights = field(default_factory=TokenWeights)
    """For the key rule `eot`: what each kind of row counts."""
    expand: Literal["object", "art"] | None = None
    """Also edit phrases such as `photo of X` (`object`) or `painting by X` (`art`), as UCE's script does with
    `--expand_prompts`. None: the name alone."""
    contexts: tuple[str, ...] | None = None
    """Sentences with one `{}` for the name, for this edit alone. None: those of the manifest, the model or the
    family."""
    strength: Strength = 1.0
    """How much of this edit is made."""
    scale: float = 1.0
    """The weight of this edit against the others of the manifest."""
    label: str | None = None
    """What a detector looks for in its pictures, where that is not the concept: a watermark. None: the concept."""
    attribute: Attribute | None = None
    """For `erase` with `from`: what is taken out of which thing. The concept is the thing with it, `to` the thing."""

    @property
    def names(self) -> tuple[str, ...]:
        """The concept and its other names, in the order given."""
        return (self.concept, *self.also)


@dataclass(frozen=True, kw_only=True)
class Preserve(ManifestBlock):
    """What must stay, besides what stays by default."""

    corpus: Literal["default", "none"] = "default"
    """`default`: the default list (the model's own prompts, or everyday ones and the words that it knows) is preserved
    too. `none`: it is only measured."""
    concepts: tuple[str, ...] = ()
    """Names that must stay. They go through the same contexts as the edited names."""
    prompts: tuple[str, ...] = ()
    """Whole prompts that must stay."""
    files: tuple[str, ...] = ()
    """Files with one prompt a line, named as in the manifest. Their lines are in `Manifest.preserve_lines`."""
    weight: float | None = None
    """How much everything that is preserved counts against the edits. None: the default of the key rule."""


@dataclass(frozen=True, kw_only=True)
class Sites(ManifestBlock):
    """Which matrices may be edited. Every field narrows the choice; the rules are applied in the order of the
    fields."""

    roles: tuple[str, ...] = ()
    """The roles of the matrices, such as `k` and `v`. Empty: the family's default roles."""
    include: tuple[str, ...] = ("*",)
    """Patterns (fnmatch) over parameter names, of which one must match."""
    exclude: tuple[str, ...] = ()
    """Patterns over parameter names, of which none may match."""
    auto: float | None = None
    """Image models: the share of the edited concepts that the chosen matrices must carry; the fewest that do are taken.
    Language models: not None where the layers are chosen by evidence. None: no choice by evidence."""
    layers: tuple[int, ...] = ()
    """Layers of a language model, counted from 0 and sorted. Empty: the family's own, or with `auto` those that
    evidence points to."""


@dataclass(frozen=True, kw_only=True)
class Constraints(ManifestBlock):
    """Bounds that a build must meet. A field is None where the manifest sets no bound. docs/reference/manifest.md says
    what each measures."""

    MINIMA: ClassVar[frozenset[str]] = frozenset({"efficacy", "paraphrase", "neighbourhood", "retain_top1"})
    """The fields that are minima. All others are maxima."""

    erase_residual: float | None = None
    """How much of the concept may be left in the edited outputs; 1 is no edit."""
    recoverable: float | None = None
    """How much of the concept any embedding may bring back; 1 is all of it."""
    preserve_drift: float | None = None
    """How far the outputs of preserved prompts may move, at the worst matrix."""
    unconditional_drift: float | None = None
    """How far the outputs of the empty prompt may move, at the worst matrix."""
    rank: int | None = None
    """The largest rank that any part of the delta may have."""
    discarded: float | None = None
    """How much of an image edit may be dropped to lower its rank. None: the solver's own share."""
    bystander_loss: float | None = None
    """The share that a bystander (a concept or question that the manifest does not name) may lose. None: the default of
    the kind of model."""
    efficacy: float | None = None
    """The least share of the edited prompts that must be answered as asked."""
    paraphrase: float | None = None
    """The same for paraphrases of them."""
    neighbourhood: float | None = None
    """The least share of neighbours that must keep their answer."""
    retain_kl: float | None = None
    """The largest mean KL over the tokens of `retain`, in nats."""
    retain_top1: float | None = None
    """The least share of these tokens whose likeliest successor must stay."""


ManifestEdit: TypeAlias = Request | LanguageEdit
"""One item of `edits`, of an image model or of a language model."""


@dataclass(frozen=True, kw_only=True)
class Manifest(ManifestBlock):
    """A whole manifest. Its edits are all for one kind of model."""

    kind: Literal["image", "language"] = "image"
    """The kind of model that the edits are for."""
    source: Source
    """The text that it was read from."""
    digest: str
    """sha256 over the source text. For a language model it also covers the files that the text names."""
    model: str
    """Where the model is, as the user typed it."""
    edits: tuple[ManifestEdit, ...]
    """What is to change, in the order given."""
    preserve: Preserve = field(default_factory=Preserve)
    """What must stay."""
    preserve_lines: tuple[str, ...] = ()
    """The lines of the files under `preserve.files`."""
    contexts: tuple[str, ...] | None = None
    """Sentences with one `{}` for a concept. None: those of the model, else of its family."""
    sites: Sites = field(default_factory=Sites)
    """Which matrices may be edited."""
    constraints: Constraints = field(default_factory=Constraints)
    """Bounds that the build must meet."""
    images: ImageCheck | None = None
    """`verify.images`. None: no pictures are painted."""
    attacks: tuple[AttackCheck, ...] = ()
    """`verify.attacks`: the attacks on erased concepts, in the order of the manifest."""
    suite: SuiteCheck | None = None
    """`verify.suite`, of language models. None: no suite is asked."""
    worst: int = 0
    """`verify.worst`, of language models: how many of the worst phrasings are reported. 0: none are looked for."""
    worst_rounds: int = 0
    """`verify.worst.rounds`: how often these are added to the contexts of the edits, which are then solved again."""
    emit: tuple[str, ...] = ()
    """The formats in which the edit is exported beside the delta."""
    seed: int = 0
    """The seed of every random choice."""
    encoder: str | None = None
    """Image models: the folder of the text encoder. None: it is with the model."""
    corpus: Corpus | None = None
    """Language models: the text that statistics are taken from. None: the topics of Python's own help."""
    chat: bool = False
    """Language models: True where keys are read through the chat template too."""
    retain: tuple[str, ...] = ()
    """Language models: texts that must stay as likely as they were. Empty: editc's own sentences."""
    after: tuple[str, ...] = ()
    """Language models: files or ids of deltas that are in the model already. What they wrote is preserved."""
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Language models: name of every other file that the manifest names -> its lines, which fields above hold too."""

    def __repr__(self) -> str:
        """Short: a manifest holds its whole text."""
        count = len(self.edits)
        return f"<Manifest {self.source.name} for {self.model}: {count} edit{'s' * (count != 1)}>"

    @property
    def image_edits(self) -> tuple[Request, ...]:
        """The edits of an image model, in order."""
        return tuple(edit for edit in self.edits if isinstance(edit, Request))

    @property
    def language_edits(self) -> tuple[LanguageEdit, ...]:
        """The edits of a language model, in order."""
        return tuple(edit for edit in self.edits if not isinstance(edit, Request))

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The facts, in order; they are solved together and share a method."""
        return tuple(edit for edit in self.edits if isinstance(edit, Fact))

    @property
    def redirects(self) -> tuple[Redirect, ...]:
        """The redirected and erased concepts, in order; they are solved together and share a method."""
        return tuple(edit for edit in self.edits if isinstance(edit, Redirect))

    @property
    def ablations(self) -> tuple[Ablation, ...]:
        """The ablated concepts, in order; they share a method."""
        return tuple(edit for edit in self.edits if isinstance(edit, Ablation))

    @property
    def on_rows(self) -> tuple[Forget | Learn, ...]:
        """The sets that are forgotten or learned, in order; they are trained together and share a method."""
        return tuple(edit for edit in self.edits if isinstance(edit, Forget | Learn))

    @property
    def method(self) -> str | None:
        """The method that the edits of an image model name. They are solved together, so they name at most one. None:
        the family's default."""
        return next((edit.method for edit in self.image_edits if edit.method is not None), None)

    @property
    def fused(self) -> bool:
        """True where the manifest fuses adapters. Such a manifest has no other edits."""
        return any(edit.kind == "fuse" for edit in self.image_edits)

    @property
    def keys(self) -> str:
        """The key rule of an image model's edits. They name at most one: the weights of two rules differ in scale."""
        return next((edit.keys for edit in self.image_edits if edit.keys is not None), "aligned")

    @property
    def options(self) -> Mapping[str, Scalar]:
        """The options that the edits of an image model give to their method, together."""
        return {name: value for edit in self.image_edits for name, value in edit.options.items()}
