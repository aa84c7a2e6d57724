"""The methods, one file each; the table of names is `editc.registry.methods`."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from editc.core.problem import System
from editc.core.solution import Edit


def at_least_zero(**options: float | None) -> None:
    """Raises ValueError that names the first option below zero; None means that it was left out."""
    for name, value in options.items():
        if value is not None and value < 0:
            raise ValueError(f"`{name}` is {value:g}: it must be 0 or more")


class Method(Protocol):
    """A frozen dataclass whose fields are its options: pure, a system in, an edit out.

    Properties that the tests hold every method to: strength 0 gives a zero edit; the order of concepts does not
    matter; singular systems raise SingularError and NaN raises NonFiniteError, never a NaN in the edit.

    What else a pass must know of a method are the traits below: `Keyed`, `Whole`, `Retaining`, `Miner`. A method has a
    trait if it has its attributes.
    """

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks of `system`."""


class LanguageMethod(Protocol):
    """A method for language models: the same, called with what it works on in place of a system."""

    works_on: ClassVar[str]
    """`memory` (keys and values of one matrix), `writer` (a matrix that writes to the residual stream) or `columns` (a
    matrix whose columns are named): which value it is called with."""
    solves: ClassVar[tuple[str, ...]]
    """The kinds of edits that it is for: `fact`, `redirect`, `erase`, `ablate`."""
    single: ClassVar[bool]
    """True where one matrix holds the whole edit, so that it has one layer; others spread it over several."""


@runtime_checkable
class Keyed(Protocol):
    """A method that brings a key rule of its own. The rule of other methods is `aligned`."""

    keys: ClassVar[str]
    """Its name in `editc.registry.key_rules`; edits have it where the manifest names no rule."""


@runtime_checkable
class Whole(Protocol):
    """A method whose promise needs all of its rank: solve takes nothing off its edit, and refuses a rank constraint
    below it (E430)."""

    whole: ClassVar[bool]
    """True; with False the trait is as good as absent."""


@runtime_checkable
class Retaining(Protocol):
    """A method that needs what is preserved row by row, and not its second moment alone."""

    retains: ClassVar[bool]
    """True: derive then fills `PreservedRows.keys` and `PreservedRows.weights`."""


@runtime_checkable
class Miner(Protocol):
    """A method that wants other names of each concept edited with it: derive looks for them, where it has these."""

    @property
    def neighbours(self) -> int:
        """How many to look for at most; 0 for none."""

    @property
    def alike(self) -> float:
        """The least score of a name that is taken (see `passes.images.keys.mined_names`)."""
