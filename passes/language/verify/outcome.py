"""What one model says to a suite: asked and struck, or told again from the cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from editc.core.delta import Array
from editc.core.network import Network
from editc.core.ports import Cache
from editc.core.storage.caching import cache_key
from editc.passes.language.suite import ask
from editc.passes.language.suite.ask import Asking
from editc.passes.language.suite.blows.blow import Target
from editc.passes.language.suite.readings import Figure, Figures, Item, Reading, Readings
from editc.registry.blows import BLOWS

VERSION = "suite 1"
"""Part of every cache key. Change it whenever a metric, a blow or the way of asking changes."""


@dataclass(frozen=True)
class Outcome:
    """One model's figures, with what it said."""

    figures: Figures
    """Every figure."""
    readings: Readings
    """Its readings. Empty where only figures are known; with nothing but `said` where the cache told them."""


@dataclass(frozen=True)
class Asked:
    """A model that is asked a suite, at most once."""

    network: Network
    """The model."""
    items: tuple[Item, ...]
    """The questions."""
    how: Asking
    """How much it is asked."""
    blows: tuple[str, ...]
    """The blows that it takes."""
    changed: Mapping[str, Array] | None = field(default=None)
    """Matrix name -> other weights. None: the model as it is."""

    @cached_property
    def told(self) -> Readings:
        """Its readings."""
        return ask.read_model(self.network, self.items, self.changed, self.how)

    def finish(self, unedited: Figures, oracle: Figures) -> Outcome:
        """Its figures, those of the blows among them. A blow that a model cannot take, such as training while its
        layers are read from files, is left out."""
        figures = dict(ask.figures_of(self.told, oracle, self.how))
        target = Target(self.network, self.items, self.changed, unedited, self.how.seed)
        for name in self.blows:
            try:
                figures |= BLOWS.resolve(name).strike(target)
            except LookupError:
                continue
        return Outcome(figures, self.told)


@dataclass(frozen=True)
class KeptOutcomes:
    """Outcomes of models that no edit changes, kept between builds."""

    cache: Cache | None
    """Where they are kept. None: nothing is."""
    items: Sequence[Item]
    """The questions."""
    how: str
    """How the models are asked, and which blows they take."""

    def outcome(self, compute: Callable[[], Outcome], what: str, *marks: str) -> Outcome:
        """What `compute` returns, from the cache where it is there. `what` and `marks` name the model and whatever else
        it depends on."""
        if self.cache is None:
            return compute()
        key = cache_key(VERSION, what, *marks, self.how, repr(self.items))
        kept = self.cache.get(key, ["json"])
        if kept is not None:
            return _unpack(kept["json"], self.items)
        found = compute()
        self.cache.put(key, {"json": _pack(found)}, "answers to a suite")
        return found


def _pack(outcome: Outcome) -> Array:
    """An outcome as the bytes of a text, each a number."""
    figures = [[name, one.value, list(one.by_item), one.unit] for name, one in outcome.figures.items()]
    said = {group: [one.said for one in several] for group, several in outcome.readings.items()}
    return np.frombuffer(json.dumps([figures, said]).encode(), np.uint8).astype(np.float64)


def _unpack(packed: Array, items: Sequence[Item]) -> Outcome:
    """The outcome that `_pack` packed."""
    figures, said = json.loads(packed.astype(np.uint8).tobytes())
    readings = {
        group: tuple(
            Reading(item, said=text)
            for item, text in zip((one for one in items if one.group == group), texts, strict=True)
        )
        for group, texts in said.items()
    }
    return Outcome({name: Figure(value, tuple(by_item), unit) for name, value, by_item, unit in figures}, readings)
