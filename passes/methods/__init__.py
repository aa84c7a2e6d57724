"""The methods, one file each, and what they have in common. The table of their names is `editc.registry.methods`."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from editc.core.problem import System
from editc.core.solution import Edit


def require_at_least_zero(**options: float | None) -> None:
    """Raise ValueError for the first option below zero, by its name. None stands for an option that was left out."""
    for name, value in options.items():
        if value is not None and value < 0:
            raise ValueError(f"`{name}` is {value:g}: it must be 0 or more")


class Method(Protocol):
    """A method for image models: a frozen dataclass whose fields are its options in a manifest. A call is a pure
    function from a system to an edit.

    The tests check these properties of every method. Strength 0 gives a zero edit. The order of the concepts does not
    matter. A singular system raises SingularError and NaN raises NonFiniteError, so that no edit contains NaN.

    A method may also have the traits below: `BringsKeyRule`, `NeedsFullRank`, `NeedsPreservedRows`, `MinesNames`. It
    has a trait if it has the trait's attributes."""

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks of `system`: one solve for all concepts together."""


class LanguageMethod(Protocol):
    """A method for language models: like `Method`, but called with one matrix and what is known of it, in place of a
    system. It is called once for each matrix that its stage edits."""

    works_on: ClassVar[str]
    """What it is called with: `memory` (a `Memory`: keys and values of one matrix), `writer` (a `Writer`: a matrix that
    writes to the residual stream) or `columns` (a `ScoredColumns`: a matrix with scores of its columns). `rows`: it is
    trained on rows of text (`passes.language.trained.trained`)."""
    solves: ClassVar[tuple[str, ...]]
    """The kinds of edits that may name it: `fact`, `redirect`, `erase`, `ablate`, `forget`."""
    single: ClassVar[bool]
    """True if it writes the whole edit into one matrix. False if it spreads the edit over the matrices of several
    layers."""


@runtime_checkable
class BringsKeyRule(Protocol):
    """A method with a default key rule of its own. The default of other methods is `aligned`."""

    keys: ClassVar[str]
    """The rule's name in `editc.registry.key_rules`. An edit by this method has it unless the manifest names a rule."""


@runtime_checkable
class NeedsFullRank(Protocol):
    """A method whose edit keeps its promise only at full rank. Solve does not lower the rank of its edit, and raises
    E430 for a `rank` constraint below it."""

    needs_full_rank: ClassVar[bool]
    """True. False means the same as having no such attribute."""


@runtime_checkable
class NeedsPreservedRows(Protocol):
    """A method that needs each preserved row, and not only the rows' second moment."""

    needs_preserved_rows: ClassVar[bool]
    """True: derive fills `PreservedRows.keys` and `PreservedRows.weights` for it."""


@runtime_checkable
class MinesNames(Protocol):
    """A method that edits other names of each concept together with it. Derive looks for such names in the corpus."""

    @property
    def neighbours(self) -> int:
        """The most names to look for; 0 for none."""

    @property
    def alike(self) -> float:
        """The least score of a name that is edited too (see `passes.images.keys.mined_names`)."""
