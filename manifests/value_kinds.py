"""What the value of a key may be: kinds of values, keys, blocks of keys. `schema` declares the manifest with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from editc.manifests.lines import Layers, Lines
from editc.manifests.wording import Role
from editc.registry.table import Table as NameTable


@dataclass(frozen=True)
class Text:
    """A line of text, whatever it looks like: `no`, `1e3` and `2024-01-01` stay text, and so does "null" in quotes.

    `verbatim` keeps the spaces around it; `contexts` are verbatim and hold exactly one `{}`. `role`: what it is to be.
    """

    verbatim: bool = False
    slot: bool = False
    role: Role = ""

    @property
    def expects(self) -> str:
        return "a text"


NAME = Text(role="name")
PROMPT = Text(verbatim=True, role="prompt")
CONTEXT = Text(verbatim=True, slot=True, role="context")


@dataclass(frozen=True)
class Number:
    """A finite number between `low` and `high`, `low` itself not if `above`; `words` may stand instead."""

    low: float | None = None
    high: float | None = None
    above: bool = False
    words: tuple[str, ...] = ()

    @property
    def expects(self) -> str:
        return f"a number{_bounds(self.low, self.high, self.above)}{''.join(f', or `{word}`' for word in self.words)}"


@dataclass(frozen=True)
class WholeNumber:
    """A whole number between `low` and `high`."""

    low: int | None = None
    high: int | None = None

    @property
    def expects(self) -> str:
        return f"a whole number{_bounds(self.low, self.high, False)}"


@dataclass(frozen=True)
class Flag:
    """`true` or `false`."""

    @property
    def expects(self) -> str:
        return "`true` or `false`"


@dataclass(frozen=True)
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def expects(self) -> str:
        ticked = [f"`{word}`" for word in self.words]
        return " or ".join([", ".join(ticked[:-1]), ticked[-1]]) if len(ticked) > 1 else ticked[0]


@dataclass(frozen=True)
class ListedName:
    """A name that the registry knows, where there are few: messages list them all."""

    table: NameTable

    @property
    def words(self) -> tuple[str, ...]:
        """The names."""
        return self.table.in_order()

    @property
    def expects(self) -> str:
        return OneOf(self.words).expects


@dataclass(frozen=True)
class RegistryName:
    """A name that the registry knows."""

    table: NameTable
    models: str | None = None
    """The kind of model that the named thing must be for; None: any."""

    @property
    def expects(self) -> str:
        return f"the name of a {self.table.noun}"


@dataclass(frozen=True)
class ListOf:
    """A list; with `least` 1 it may not be empty."""

    item: Text | OneOf | RegistryName
    least: int = 0

    @property
    def names(self) -> bool:
        """True for a list of names of concepts."""
        return isinstance(self.item, Text) and self.item.role == "name"

    @property
    def expects(self) -> str:
        return "a list"


@dataclass(frozen=True)
class Shares:
    """Concepts with their shares, each from 0 to 1, together at most 1."""

    @property
    def expects(self) -> str:
        return "concepts with shares, such as {woman: 0.5, man: 0.5}"


@dataclass(frozen=True)
class Wordings:
    """Texts for each of several concepts, by its name."""

    @property
    def expects(self) -> str:
        return "concepts with texts, such as {cat: [a photo of a cat, a kitten]}"


@dataclass(frozen=True)
class Judged:
    """The name of a detector, `NAME:PLACE`, or a block with its name and what it takes."""

    @property
    def expects(self) -> str:
        return "the name of a detector, or a block such as {clip: FOLDER}"


@dataclass(frozen=True)
class Inner:
    """A block with a table of its own; `word` may stand in its place and means the block `{word: meaning}`."""

    table: KeyTable
    word: str = ""
    meaning: float | None = None

    @property
    def expects(self) -> str:
        keys = f"a block of keys ({', '.join(field.name for field in self.table.fields)})"
        return f"{keys}, or `{self.word}`" if self.word else keys


@dataclass(frozen=True)
class Edits:
    """The list of edits: each a block of one of the tables in `EDITS`."""

    @property
    def expects(self) -> str:
        return "a list of edits"


ValueKind: TypeAlias = (
    Text
    | Number
    | WholeNumber
    | Flag
    | OneOf
    | ListedName
    | RegistryName
    | ListOf
    | Lines
    | Layers
    | Shares
    | Wordings
    | Judged
    | Inner
    | Edits
)


@dataclass(frozen=True)
class KeyField:
    """One key of a block; `only`: it has a meaning for that kind of model alone; `minimum`: a bound from below."""

    name: str
    kind: ValueKind
    doc: str
    required: bool = False
    into: str = ""
    only: Literal["", "image", "language"] = ""
    minimum: bool = False

    @property
    def attribute(self) -> str:
        """The dataclass field that this key fills."""
        return self.into or self.name


@dataclass(frozen=True)
class KeyTable:
    """A block: its name as messages call it, and its keys."""

    name: str
    fields: tuple[KeyField, ...]

    def field(self, name: str) -> KeyField | None:
        """The key `name`, if this block has it."""
        return next((field for field in self.fields if field.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        """The keys, in the order in which they are documented."""
        return tuple(field.name for field in self.fields)


def _bounds(low: float | None, high: float | None, above: bool) -> str:
    if low is not None and high is not None:
        return f" above {low:g}, at most {high:.10g}" if above else f" from {low:g} to {high:.10g}"
    if low is not None:
        return f" above {low:g}" if above else f" of at least {low:g}"
    return "" if high is None else f" of at most {high:.10g}"
