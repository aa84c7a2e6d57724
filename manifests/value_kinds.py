"""The kinds of values in a manifest (a text, a number, a word, a list, a block), and tables of the keys of blocks."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, TypeAlias

from editc.manifests.wording import Role
from editc.registry.table import Table as NameTable

if TYPE_CHECKING:
    from editc.registry.options import OptionType

AUTO = "auto"
"""The word for layers that are searched for by evidence."""


@dataclass(frozen=True)
class Text:
    """A line of text, whatever it looks like: `no`, `1e3` and `2024-01-01` stay text, as does "null" in quotes."""

    verbatim: bool = False
    """True if spaces at both ends are part of the text."""
    slot: bool = False
    """True if the text must have exactly one `{}`."""
    role: Role = ""
    """What the text is for, which decides what is doubtful in it."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return "a text"


NAME = Text(role="name")
"""The name of a concept."""
PROMPT = Text(verbatim=True, role="prompt")
"""A prompt for pictures."""
CONTEXT = Text(verbatim=True, slot=True, role="context")
"""A sentence with `{}` for a concept."""


@dataclass(frozen=True)
class Number:
    """A finite number within bounds, or one of a few words."""

    low: float | None = None
    """The lower bound. None: there is none."""
    high: float | None = None
    """The greatest value. None: there is none."""
    above: bool = False
    """True if the value must be greater than `low`; False if it may be equal."""
    words: tuple[str, ...] = ()
    """Words that may stand instead of a number."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return f"a number{_bounds(self.low, self.high, self.above)}{''.join(f', or `{word}`' for word in self.words)}"


@dataclass(frozen=True)
class WholeNumber:
    """A whole number within bounds."""

    low: int | None = None
    """The least value. None: there is none."""
    high: int | None = None
    """The greatest value. None: there is none."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return f"a whole number{_bounds(self.low, self.high, False)}"


@dataclass(frozen=True)
class Flag:
    """`true` or `false`."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return "`true` or `false`"


@dataclass(frozen=True)
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]
    """The words, in the order in which messages list them."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        ticked = [f"`{word}`" for word in self.words]
        return " or ".join([", ".join(ticked[:-1]), ticked[-1]]) if len(ticked) > 1 else ticked[0]


@dataclass(frozen=True)
class ListedName:
    """A name from a short table of the registry, so that messages can list all names."""

    place: str
    """Where the table stands, as `module:attribute`. It is imported when a manifest has such a name."""

    @property
    def table(self) -> NameTable:
        """The table of the registry."""
        return _table_at(self.place)

    @property
    def words(self) -> tuple[str, ...]:
        """All names of the table, in its order."""
        return self.table.in_order()

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return OneOf(self.words).expects


@dataclass(frozen=True)
class RegistryName:
    """A name from a table of the registry."""

    place: str
    """Where the table stands, as `module:attribute`. It is imported when a manifest has such a name."""
    models: str | None = None
    """The kind of model that the named thing must be for; None: any."""

    @property
    def table(self) -> NameTable:
        """The table of the registry."""
        return _table_at(self.place)

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return f"the name of a {self.table.noun}"


@dataclass(frozen=True)
class ListOf:
    """A list of values of one kind."""

    item: Text | OneOf | RegistryName | WholeNumber
    """What each item must be."""
    min_items: int = 0
    """The least number of items: 1 if the list may not be empty."""

    @property
    def lists_names(self) -> bool:
        """True for a list of names of concepts."""
        return isinstance(self.item, Text) and self.item.role == "name"

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return "a list"


@dataclass(frozen=True)
class PromptList:
    """Prompts: a list, or the name of a file with one prompt a line."""

    answers: bool = False
    """True if a prompt may have an answer: the value of its key, or the text after a tab in a file."""
    slot: bool = False
    """True if each prompt must have exactly one `{}`."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        pairs = "prompts with their answers ({prompt: answer}), " * self.answers
        return f"{pairs}a list of prompts, or the name of a file with one a line"


@dataclass(frozen=True)
class Layers:
    """Numbers of layers from 0 on: `[4, 5, 6]`, `4-8`, `5`, or `auto`."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return "layers counted from 0, such as [4, 5, 6] or 4-8, or `auto`"


@dataclass(frozen=True)
class Shares:
    """Concepts with their shares, each from 0 to 1, together at most 1."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return "concepts with shares, such as {woman: 0.5, man: 0.5}"


@dataclass(frozen=True)
class Wordings:
    """Texts for each of several concepts, by its name."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return "concepts with texts, such as {cat: [a photo of a cat, a kitten]}"


@dataclass(frozen=True)
class DetectorValue:
    """The name of a detector, `NAME:PLACE`, or a block with its name and further keys."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return "the name of a detector, or a block such as {clip: FOLDER}"


@dataclass(frozen=True)
class AttacksValue:
    """A preset, names of attacks, or a block with the options of each."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return "quick, thorough, a list of attacks, or a block such as {inversion: {words: 4, at_most: 0.1}}"


@dataclass(frozen=True)
class SuiteValue:
    """The name of a suite, or a block with further keys."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return "tofu-mini, rwku-mini, muse-mini, a file or folder, or a block such as {data: tofu-mini, oracle: FOLDER}"


@dataclass(frozen=True)
class WorstValue:
    """How many phrasings, or a block with further keys."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return "a whole number from 1 to 24, or a block such as {count: 4, rounds: 1}"


@dataclass(frozen=True)
class InnerBlock:
    """A block with a table of its own, or one word in its place."""

    table: KeyTable
    """The keys of the block."""
    word: str = ""
    """A word that may stand in place of the block; '' if none may."""
    meaning: float | None = None
    """If given, the word stands for the block `{word: meaning}`. None: it stands for a block without keys."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        keys = f"a block of keys ({', '.join(field.name for field in self.table.fields)})"
        return f"{keys}, or `{self.word}`" if self.word else keys


@dataclass(frozen=True)
class Edits:
    """The list of edits: each a block of one of the tables in `EDITS`."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return "a list of edits"


@dataclass(frozen=True)
class NodeValue:
    """A value that whoever asks for it takes apart, such as a list of blocks."""

    expects: str
    """What error messages say was expected here."""


ValueKind: TypeAlias = (
    Text
    | Number
    | WholeNumber
    | Flag
    | OneOf
    | ListedName
    | RegistryName
    | ListOf
    | PromptList
    | Layers
    | Shares
    | Wordings
    | DetectorValue
    | AttacksValue
    | SuiteValue
    | WorstValue
    | InnerBlock
    | Edits
    | NodeValue
)
"""Every kind of value."""


@dataclass(frozen=True)
class KeyField:
    """One key of a block."""

    name: str
    """The key, as a manifest writes it."""
    kind: ValueKind
    """What its value must be."""
    doc: str
    """What it means, in the reference page and in the help of errors."""
    required: bool = False
    """True if the block must have it."""
    into: str = ""
    """The attribute of the dataclass that it fills; '' if it has the same name."""
    only: Literal["", "image", "language"] = ""
    """The only kind of model for which the key has a meaning; '' for both."""
    minimum: bool = False
    """True for a constraint that bounds a measurement from below."""

    @property
    def attribute(self) -> str:
        """The dataclass field that this key fills."""
        return self.into or self.name


@dataclass(frozen=True)
class KeyTable:
    """The keys that one block can have."""

    name: str
    """What messages call the block."""
    fields: tuple[KeyField, ...]
    """Its keys, in the order in which they are documented."""

    def field(self, name: str) -> KeyField | None:
        """The key `name`, if this block has it."""
        return next((field for field in self.fields if field.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        """The keys, in the order in which they are documented."""
        return tuple(field.name for field in self.fields)


def option_kind(declared: OptionType) -> Text | Number | WholeNumber | Flag | OneOf:
    """What the value of a method's option must be, by the type of its dataclass field."""
    if isinstance(declared, tuple):
        return OneOf(declared)
    kinds: dict[type, Text | Number | WholeNumber | Flag] = {
        int: WholeNumber(),
        float: Number(),
        bool: Flag(),
        str: Text(),
    }
    return kinds[declared]


def _table_at(place: str) -> NameTable:
    """The table of the registry that stands at `module:attribute`."""
    module, _, attribute = place.partition(":")
    found: NameTable = getattr(import_module(module), attribute)
    return found


def _bounds(low: float | None, high: float | None, above: bool) -> str:
    """The bounds in words, such as ` from 0 to 1`. Empty if there are none."""
    if low is not None and high is not None:
        return f" above {low:g}, at most {high:.10g}" if above else f" from {low:g} to {high:.10g}"
    if low is not None:
        return f" above {low:g}" if above else f" of at least {low:g}"
    return "" if high is None else f" of at most {high:.10g}"
