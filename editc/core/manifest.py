"""What the user asked: the manifest as frozen values, every field with its place in the YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from editc.core.places import ManifestBlock, Source

Scalar: TypeAlias = str | int | float | bool
Strength: TypeAlias = float | Literal["auto"]


@dataclass(frozen=True, kw_only=True)
class TokenWeights(ManifestBlock):
    """What each anchor of `keys: eot` counts; the defaults are TRCE's published ones, the first EOT alone."""

    bos: float = 0.0
    eot: float = 1.0
    last: float = 0.0
    keyword: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ShareSearch(ManifestBlock):
    """How `moderate` searches for the pulls that give the wanted shares: `pictures` of the concept in each of at most
    `rounds` edits, until every share is within `tolerance`, which is where UCE's debiasing stops as well."""

    pictures: int = 40
    rounds: int = 12
    tolerance: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Request(ManifestBlock):
    """One item of `edits`.

    `erase` and `replace` map `concept` (and every name in `also`) to `to` (None: the family's neutral concept);
    `moderate` maps it to itself plus the weighted concepts of `toward` (UCE's debiasing with given shares); with
    `shares`, those of `toward` are what pictures must show, and the weights are found (`passes.images.solve.moderate`).
    `fuse` adds a trained adapter, the file `adapter`; its `concept` is what the file erases, else the file's name.
    """

    kind: Literal["erase", "replace", "moderate", "fuse"]
    concept: str
    adapter: str = ""
    also: tuple[str, ...] = ()
    to: str | None = None
    toward: tuple[tuple[str, float], ...] = ()
    shares: ShareSearch | None = None
    method: str | None = None
    options: Mapping[str, Scalar] = field(default_factory=dict)
    keys: str | None = None
    """The name of a key rule (`editc.registry.key_rules`); None: that of another edit, of the method, or `aligned`."""
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
class Preserve(ManifestBlock):
    """What must stay, beside what stays by default."""

    corpus: Literal["default", "none"] = "default"
    """`default`: the prompts of the model's own list, or the everyday ones, are kept as well; `none`: they are not."""
    concepts: tuple[str, ...] = ()
    """Names that go through the same contexts as the edits."""
    prompts: tuple[str, ...] = ()
    """Prompts as they stand."""
    files: tuple[str, ...] = ()
    """Files with one prompt a line, as the manifest names them; their lines are in `Manifest.preserve_lines`."""
    weight: float | None = None
    """How much all that is kept counts against the edits; None: the usual weight of the key rule."""


@dataclass(frozen=True, kw_only=True)
class Sites(ManifestBlock):
    """Which matrices: roles (`k`, `v`; none named: the family's own), then fnmatch patterns over parameter names; then,
    where `auto` is a share, the fewest of them that carry that share of the edited concepts.

    `layers` are those of a language model, counted from 0 and sorted; none: the family's own, or with `auto` those that
    hold the subject."""

    roles: tuple[str, ...] = ()
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    auto: float | None = None
    layers: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Constraints(ManifestBlock):
    """Bounds that a build must meet: maxima, but for `MINIMA`; None asks nothing (docs/reference/manifest.md)."""

    MINIMA: ClassVar[frozenset[str]] = frozenset({"efficacy", "paraphrase", "neighbourhood", "retain_top1"})

    erase_residual: float | None = None
    recoverable: float | None = None
    preserve_drift: float | None = None
    unconditional_drift: float | None = None
    rank: int | None = None
    bystander_loss: float | None = None
    """The share that a bystander (what nobody named) may lose; None: the default of the kind of model."""
    efficacy: float | None = None
    paraphrase: float | None = None
    neighbourhood: float | None = None
    retain_kl: float | None = None
    retain_top1: float | None = None


@dataclass(frozen=True, kw_only=True)
class BystanderCheck(ManifestBlock):
    """`verify.images.bystanders`: which concepts that nobody named are painted before and after, and how often."""

    near: int = 8
    """So many of those that lie nearest to what is edited."""
    far: int = 4
    """So many of the others."""
    pictures: int = 6
    """Pictures of each, on each side."""


@dataclass(frozen=True, kw_only=True)
class DetectorOptions(ManifestBlock):
    """What `verify.images.detector` says besides the detector's name."""

    place: str = ""
    """The folder or file that the detector is in, relative to the manifest."""
    member: str = ""
    """Of a Python file: the class, function or object in it."""
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sentences for a concept, by its name; of any other they are made from the name."""
    against: tuple[str, ...] = ()
    """What a picture may show in place of a concept; empty: the detector's own list."""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The labels of a concept, by its name; of any other the label that is called so."""
    threshold: float | None = None
    """The probability from which a picture shows a concept; None: as the detector has it."""
    foreign: bool = False
    """True where a delta says this and not whoever runs editc: then no code is run for it."""


@dataclass(frozen=True, kw_only=True)
class ImageCheck(ManifestBlock):
    """`verify.images`: pictures before and after, judged by a detector; with `none` they are painted and not judged."""

    detector: str = "none"
    options: DetectorOptions = field(default_factory=DetectorOptions)
    prompts_per_concept: int = 20
    steps: int = 25
    guidance: float = 7.5
    erased_at_most: float | None = None
    kept_loss_at_most: float | None = None
    share_gap_at_most: float | None = None
    bystanders: BystanderCheck = field(default_factory=BystanderCheck)
    attacks: tuple[str, ...] = ("certificate",)
    """The attacks on erased concepts that are painted, by their names in `editc.registry.attacks`."""


@dataclass(frozen=True)
class PromptAnswer:
    """A prompt and the text that goes on from it, without the space between; None: whatever the unedited model says."""

    prompt: str
    answer: str | None = None


@dataclass(frozen=True, kw_only=True)
class LanguageEditBase(ManifestBlock):
    """What every edit of a language model has. `contexts` hold the prompt of a fact, or the name of a concept, at their
    `{}`; None: the method's own."""

    method: str | None = None
    options: Mapping[str, Scalar] = field(default_factory=dict)
    contexts: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Fact(LanguageEditBase):
    """`fact`: after `template`, with `subject` at its one `{}`, the model is to say `answer`.

    `was` is what it says now (None: found by asking); `paraphrases` are other prompts with the same answer, whole
    sentences in which a `{}` is filled already; `implied` are prompts that need the fact and a further step, with what
    is right there after the edit; `neighbours` are prompts whose answers must stay.
    """

    kind: ClassVar[Literal["fact"]] = "fact"
    template: str
    subject: str
    answer: str
    was: str | None = None
    paraphrases: tuple[str, ...] = ()
    implied: tuple[PromptAnswer, ...] = ()
    neighbours: tuple[PromptAnswer, ...] = ()
    strength: float = 1.0

    @property
    def prompt(self) -> str:
        """The template with the subject in it."""
        return self.template.replace("{}", self.subject)

    @property
    def names(self) -> tuple[str, ...]:
        """The subject: what the edit's keys are taken at."""
        return (self.subject,)


@dataclass(frozen=True, kw_only=True)
class Redirect(LanguageEditBase):
    """`redirect` and `erase`: the names of `concept` lead to what `to` leads to, or, where that is None,
    to noise or to a refusal. `toward` is `anchor` where a concept is named.

    `relations` are templates with one `{}` for the concept, and what the model is no longer to say there (None: what it
    says now); `neighbours` are prompts whose answers must stay.
    """

    kind: Literal["redirect", "erase"]
    concept: str
    also: tuple[str, ...] = ()
    to: str | None = None
    toward: Literal["anchor", "noise", "refusal"] = "anchor"
    relations: tuple[PromptAnswer, ...] = ()
    neighbours: tuple[PromptAnswer, ...] = ()
    strength: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """The concept and its other names, in the order given."""
        return (self.concept, *self.also)


@dataclass(frozen=True, kw_only=True)
class Ablation(LanguageEditBase):
    """`ablate`: the direction in which prompts that carry `concept` (`present`) differ from those that do not
    (`absent`)."""

    kind: ClassVar[Literal["ablate"]] = "ablate"
    concept: str
    present: tuple[str, ...]
    absent: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The concept alone: it is found by its prompts."""
        return (self.concept,)


@dataclass(frozen=True)
class Corpus:
    """The text that statistics are taken from: its file, sha256 of its UTF-8, and its characters. A delta does not
    record these: they are empty where a manifest was read from one."""

    file: str
    sha256: str
    text: str = field(default="", compare=False, repr=False)


LanguageEdit: TypeAlias = Fact | Redirect | Ablation
Edit: TypeAlias = Request | LanguageEdit
"""One item of `edits`, of an image model or of a language model."""


@dataclass(frozen=True, kw_only=True)
class Manifest(ManifestBlock):
    """A whole request, for a model of one kind."""

    kind: Literal["image", "language"] = "image"
    """The kind of model that the edits are for."""
    source: Source
    """The text that it was read from."""
    digest: str
    """sha256 over the source text, and for a language model over the files that it names."""
    model: str
    """Where the model is, as the user typed it."""
    edits: tuple[Edit, ...]
    """What is to change, in the order given; all of the manifest's kind."""
    preserve: Preserve = field(default_factory=Preserve)
    """What must stay."""
    preserve_lines: tuple[str, ...] = ()
    """The lines of the files under `preserve.files`."""
    contexts: tuple[str, ...] | None = None
    """Sentences with one `{}` for a concept; None: those of the model or of its family."""
    sites: Sites = field(default_factory=Sites)
    """`sites`: which matrices."""
    constraints: Constraints = field(default_factory=Constraints)
    """Bounds that the build must meet."""
    images: ImageCheck | None = None
    """`verify.images`; None: nothing is painted."""
    emit: tuple[str, ...] = ()
    """Formats that are written beside the delta."""
    seed: int = 0
    """What random choices are made from."""
    encoder: str | None = None
    """An image model's text encoder, where it is not beside the model."""
    corpus: Corpus | None = None
    """Language models: the text that statistics are taken from; None: the text that every Python has."""
    chat: bool = False
    """Language models: keys are taken through the chat template as well."""
    retain: tuple[str, ...] = ()
    """Language models: texts that are to stay as likely as they were; none: editc's own."""
    after: tuple[str, ...] = ()
    """Language models: files of deltas that are in the model already and whose edits are to stay."""
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Language models: the lines of every other file that the manifest names, by name, as they went into the fields."""

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
    def method(self) -> str | None:
        """The method that the edits name (they are solved together, so they name at most one); None: the family's."""
        return next((edit.method for edit in self.image_edits if edit.method is not None), None)

    @property
    def fused(self) -> bool:
        """True where adapters are fused; nothing else is solved in such a manifest."""
        return any(edit.kind == "fuse" for edit in self.image_edits)

    @property
    def keys(self) -> str:
        """The name of the key rule of all edits, which name at most one: weights of two rules differ in scale."""
        return next((edit.keys for edit in self.image_edits if edit.keys is not None), "aligned")

    @property
    def options(self) -> Mapping[str, Scalar]:
        """The options that the edits give to the method, together."""
        return {name: value for edit in self.image_edits for name, value in edit.options.items()}
