"""The methods, one file each, and what they have in common. The table of their names is `editc.registry.methods`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from editc.core.delta import Array
from editc.core.problem import System
from editc.core.solution import Edit

if TYPE_CHECKING:  # a manifest for an image model needs neither this nor what it imports
    from editc.core.language_problem import KeyStates


def require_at_least_zero(**options: float | None) -> None:
    """Raise ValueError for the first option below zero, by its name. None stands for an option that was left out."""
    for name, value in options.items():
        if value is not None and value < 0:
            raise ValueError(f"`{name}` is {value:g}: it must be 0 or more")


def require_share(**options: float) -> None:
    """Raise ValueError for the first option above one, by its name."""
    for name, value in options.items():
        if value > 1:
            raise ValueError(f"`{name}` is {value:g}: it is a share, at most 1")


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
    """What it is called with: `memory` (a `Memory`: keys and values of one matrix), `gradients` (an `AnswerGradients`:
    what one matrix reads before the answers, with their gradients), `writer` (a `Writer`: a matrix that writes to the
    residual stream) or `columns` (a `ScoredColumns`: a matrix with scores of its columns). `rows`: it is trained on
    rows of text (`passes.language.trained.trained`)."""
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


ReadingRule: TypeAlias = Literal["name", "end", "words"]
"""Where the keys of an edit are read: at the `name`'s last token, the mean over its contexts; at the `end` of each
sentence about the concept; or at the end of each of the `words` from the name on."""


@runtime_checkable
class ReadsElsewhere(Protocol):
    """A method for language models whose keys are not read at the name, the default."""

    reads: ClassVar[ReadingRule]
    """Where they are read."""


@runtime_checkable
class MakesValues(Protocol):
    """A method for concepts that makes the value of each key from the model's states, without a gradient."""

    def value(self, states: KeyStates) -> Array:
        """What is to be added (d,) at one key."""


@runtime_checkable
class EditsAtDepth(Protocol):
    """A method for language models whose default layers end elsewhere than a sixth of the way up."""

    depth: ClassVar[float]
    """Where its last layer is, as a share of the layers: 0.5 is the middle."""


@runtime_checkable
class LeadsElsewhere(Protocol):
    """A method for concepts. All methods for `redirect` and `erase` have this trait."""

    leads: ClassVar[tuple[str, ...]]
    """Where it can lead a concept: to an `anchor` (another concept), to `noise`, to a `refusal`. The first of the last
    two is the default of an `erase` without `to`. Empty: it takes the concept out and leads nowhere."""


@runtime_checkable
class HoldsMeans(Protocol):
    """A method for language models that holds one key of each earlier edit, the mean over its contexts, as the edit
    itself was solved. Other methods hold the key of every context."""

    holds_means: ClassVar[bool]
    """True. False means the same as having no such attribute."""
