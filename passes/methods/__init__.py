"""The methods, one file each; the table of names is `editc.registry.methods`."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from editc.core.ir import Edit, System


def at_least_zero(**options: float | None) -> None:
    """Raises ValueError that names the first option below zero; None means that it was left out."""
    for name, value in options.items():
        if value is not None and value < 0:
            raise ValueError(f"`{name}` is {value:g}: it must be 0 or more")


class Method(Protocol):
    """A frozen dataclass whose fields are its options: pure, a system in, an edit out.

    Properties that the tests hold every method to: strength 0 gives a zero edit; the order of concepts does not
    matter; singular systems raise SingularError and NaN raises NonFiniteError, never a NaN in the edit.

    A method whose promise needs all of its rank has the class attribute `whole = True`: solve then takes nothing off
    its edit, and refuses a rank constraint below it (E430).
    """

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks of `system`."""


@runtime_checkable
class Keyed(Protocol):
    """A method that brings a key rule of its own (`editc.registry.key_rules`): its edits have that rule where the
    manifest names none. Of others the rule is `aligned`."""

    keys: ClassVar[str]


@runtime_checkable
class Retaining(Protocol):
    """A method that needs what is kept row by row, and not its second moment alone: derive then fills `Kept.keys`."""

    retains: ClassVar[bool]


@runtime_checkable
class Miner(Protocol):
    """A method that wants other names of each concept edited with it: derive looks for them, where it has these."""

    @property
    def neighbours(self) -> int:
        """How many to look for at most; 0 for none."""

    @property
    def alike(self) -> float:
        """The least score of a name that is taken (see `passes.images.keys.mined_names`)."""
