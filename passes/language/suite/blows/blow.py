"""What every blow is given, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from editc.core.delta import Array
from editc.core.network import Network
from editc.passes.language.suite.readings import Figures, Item


@dataclass(frozen=True)
class Target:
    """A model that a blow strikes."""

    network: Network
    """The model."""
    items: Sequence[Item]
    """The questions of the suite, as `ask.choose_items` chose them."""
    changed: Mapping[str, Array] | None = None
    """Matrix name -> edited weight. None: the model as it lies there."""
    unedited: Figures = field(default_factory=dict)
    """The figures of the model before the edit, which say how much there is to bring back. Empty: not measured."""
    seed: int = 0
    """Random numbers of a blow depend on this alone."""

    def of(self, *groups: str) -> list[Item]:
        """The items of these groups."""
        return [item for item in self.items if item.group in groups]


@dataclass(frozen=True)
class Blow:
    """One kind of blow: a value of the table `editc.registry.blows`."""

    summary: str
    """What it does, in one line, with what is good."""
    strike: Callable[[Target], Figures]
    """The figures of the model after the blow; empty where the suite lacks what it needs."""
