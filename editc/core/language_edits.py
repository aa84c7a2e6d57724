"""What the user asks of a language model: the edits of a manifest, and the files that they name, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar, Literal, TypeAlias

from editc.core.places import ManifestBlock, Scalar


@dataclass(frozen=True)
class PromptAnswer:
    """A prompt and the answer that follows it."""

    prompt: str
    """The prompt."""
    answer: str | None = None
    """The text that follows, without the space between. None: what the unedited model says."""
    subject: str = field(default="", compare=False)
    """Whom the prompt is about, in words that it has. Empty where nobody said."""

    @property
    def digest(self) -> str:
        """Sixteen digits that name the row without saying it: the beginning of a sha256 over both texts."""
        return sha256(f"{self.prompt}\0{self.answer}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class LanguageEditBase(ManifestBlock):
    """What every edit of a language model has."""

    method: str | None = None
    """The name of the method. None: the family's or kind's default method."""
    options: Mapping[str, Scalar] = field(default_factory=dict)
    """The options of the method that the manifest sets, by name."""
    contexts: tuple[str, ...] | None = None
    """Sentences with one `{}`, which takes the prompt of a fact or the name of a concept. None: the method's own."""


@dataclass(frozen=True, kw_only=True)
class Fact(LanguageEditBase):
    """`fact`: after a prompt about one subject, the model is to give another answer."""

    kind: ClassVar[Literal["fact"]] = "fact"
    """The word in the manifest."""
    template: str
    """The prompt, with one `{}` for the subject."""
    subject: str
    """The subject. The edit is made at its last token, or where the option `tokens` says."""
    answer: str
    """What the model is to say."""
    was: str | None = None
    """What the model says before the edit. None: editc asks it."""
    paraphrases: tuple[str, ...] = ()
    """Other prompts with the same answer. A `{}` in the manifest has been filled already."""
    implied: tuple[PromptAnswer, ...] = ()
    """Prompts that need the fact and one further step, with what is right there after the edit."""
    neighbours: tuple[PromptAnswer, ...] = ()
    """Prompts about something else, whose answers must stay."""
    strength: float = 1.0
    """How much of the edit is made."""

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
    """`redirect` and `erase` of a language model: the names of a concept lead to something else."""

    kind: Literal["redirect", "erase"]
    """The word in the manifest."""
    concept: str
    """The concept."""
    also: tuple[str, ...] = ()
    """Other names of the concept, which are edited with it."""
    to: str | None = None
    """The concept that takes its place. None: `toward` says what does."""
    toward: Literal["anchor", "noise", "refusal"] = "anchor"
    """Where the names lead. `anchor`: to the concept `to`. `noise`: to random noise. `refusal`: the model declines to
    answer."""
    relations: tuple[PromptAnswer, ...] = ()
    """Sentences with one `{}` for the concept, and what the model must no longer say there. An answer of None is what
    it says before the edit."""
    neighbours: tuple[PromptAnswer, ...] = ()
    """Prompts about something else, whose answers must stay."""
    strength: float = 1.0
    """How much of the edit is made."""

    @property
    def names(self) -> tuple[str, ...]:
        """The concept and its other names, in the order given."""
        return (self.concept, *self.also)


@dataclass(frozen=True, kw_only=True)
class Ablation(LanguageEditBase):
    """`ablate`: take out the direction in which prompts with a concept differ from prompts without it."""

    kind: ClassVar[Literal["ablate"]] = "ablate"
    """The word in the manifest."""
    concept: str
    """The name of the concept, for the report."""
    present: tuple[str, ...]
    """Prompts with the concept."""
    absent: tuple[str, ...]
    """Prompts without it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The concept alone, because its prompts define it."""
        return (self.concept,)


@dataclass(frozen=True)
class Corpus:
    """The text from which the statistics of a language model are taken."""

    file: str
    """The file, as the manifest names it."""
    sha256: str
    """sha256 of its text in UTF-8."""
    text: str = field(default="", compare=False, repr=False)
    """The text. Empty in a manifest that was read from a delta, which records the hash alone."""


@dataclass(frozen=True)
class DataSet:
    """The rows of a file that an edit is trained on."""

    file: str
    """The file, as the manifest names it."""
    sha256: str
    """sha256 of its text in UTF-8; of a part of it, of the part's rows."""
    rows: tuple[PromptAnswer, ...] = field(default=(), compare=False, repr=False)
    """Prompts with their answers; plain text answers an empty prompt. Empty in a delta's record, which has the hash."""
    part: str = ""
    """Which slices of the file these rows are, such as `2 of 4`. Empty: all."""

    @property
    def name(self) -> str:
        """The file, with the part of it."""
        return f"{self.file}, {self.part}" if self.part else self.file


@dataclass(frozen=True, kw_only=True)
class OnRows(LanguageEditBase):
    """An edit that is trained on rows of text."""

    kind: ClassVar[Literal["forget", "learn"]]
    """The word in the manifest."""
    concept: str
    """A name for what the rows say, for the report."""
    data: DataSet
    """What is forgotten or learned."""
    retain: DataSet | None = None
    """What must stay. None: nothing is trained to stay."""

    @property
    def names(self) -> tuple[str, ...]:
        """The concept alone, because its rows define it."""
        return (self.concept,)


@dataclass(frozen=True, kw_only=True)
class Forget(OnRows):
    """`forget`: what a set of questions and answers says is trained away."""

    kind: ClassVar[Literal["forget", "learn"]] = "forget"
    """The word in the manifest."""


@dataclass(frozen=True, kw_only=True)
class Learn(OnRows):
    """`learn`: what one slice of a set of questions and answers says is trained into layers of its own.

    `data` are the rows of the last slice of `slices`, `retain` those of the slices before it.
    """

    kind: ClassVar[Literal["forget", "learn"]] = "learn"
    """The word in the manifest."""
    slices: tuple[int, ...] = (1,)
    """The slices in the order in which they are learned, from 1. The last is learned here; earlier deltas learned the
    others."""
    of: int = 1
    """How many slices the file has."""
    by: str | None = None
    """The key of a row whose value decides its slice. None: its texts do."""

    def layers(self, count: int) -> tuple[int, ...]:
        """The layers that learn this slice in a model of `count` layers: of `of` groups, the first from the top for
        the slice that is learned first, and so on down. Empty where the model has fewer layers than slices."""
        place = self.of - len(self.slices)
        return tuple(range(count * place // self.of, count * (place + 1) // self.of))


LanguageEdit: TypeAlias = Fact | Redirect | Ablation | Forget | Learn
"""One edit of a language model."""
