"""Edits of a language model made straight through the port, without a manifest: what the passes do, on one screen.

`benchmarks.facts` needs values that many runs share and solvers' inputs that a manifest does not offer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from editc.cache import open_cache
from editc.ir import Array, Edit
from editc.language import PREFIXES, Descent, Memory, Spot, Value, Wish
from editc.networks import CausalNetwork
from editc.passes import statistics
from editc.passes.methods.alphaedit import AlphaEdit
from editc.ports import Cache
from editc.request import Fact

DOWN = "model.layers.{}.mlp.down_proj.weight"
LAYER = 5
"""ROME's one layer."""
LAYERS = (3, 4, 5)
"""MEMIT's and its followers'. With 4 to 8, the usual share of the depth, the 12 facts at once have NS .78 (memit) and
.82 (alphaedit): from layer 6 on, keys of one kind of subject are half alike, here a third."""
FORMS = ("{}", "The {}", "What do you know about {}", "Question: where is {}", "Tell me the facts about the {}")
"""Contexts of a concept's name, whatever it is asked about."""
LEAD = "Once more: "
"""Before a form that would begin with the name, at the attention sink."""

Method = Callable[[Memory], Edit]
Changed = Mapping[str, Array]


@dataclass(frozen=True)
class Lab:
    """The model and what is computed once for it."""

    network: CausalNetwork
    cache: Cache | None = field(default_factory=open_cache)

    def weight(self, name: str) -> Array:
        """W (d_out, d_in)."""
        return np.asarray(self.network.parameters[name].double().numpy())

    def moments(self, layers: Sequence[int]) -> Mapping[str, Array]:
        """E[k k^T] of each layer's matrix, by name."""
        names = [DOWN.format(layer) for layer in layers]
        found = statistics.moments(self.network, names, statistics.corpus(), self.cache)
        return {name: found[name].second for name in names}

    def value(self, fact: Fact, layer: int = LAYER) -> Value:
        """What the layer's MLP should add at the subject, from the cache if it was learned before."""
        contexts = tuple(Spot(prefix + fact.prompt, fact.subject) for prefix in PREFIXES)
        wish = Wish(contexts, fact.answer, Spot(f"{fact.subject} is a", fact.subject))
        told = repr(("fact value 1", self.network.fingerprint(), wish, layer, "output", Descent()))
        key = sha256(told.encode()).hexdigest()
        kept = self.cache.get(key) if self.cache else None
        if kept is None:
            found = self.network.value(wish, layer, "output", Descent())
            kept = {"delta": found.delta, "before": found.before, "losses": np.array(found.losses)}
            kept["probability"] = np.array([found.probability])
            if self.cache:
                self.cache.put(key, kept)
        return Value(kept["delta"], kept["before"], tuple(kept["losses"]), float(kept["probability"][0]))


def spots(fact: Fact) -> list[Spot]:
    """The prompt behind every prefix."""
    return [Spot(prefix + fact.prompt, fact.subject) for prefix in PREFIXES]


def mean_over(groups: Sequence[Sequence[Spot]], told: Callable[[Sequence[Spot]], Mapping[Any, Array]]) -> Any:
    """What `told` gives for all spots of the groups, as the mean over each group's: (d, groups) by key."""
    found = told([spot for group in groups for spot in group])
    ends = np.cumsum([len(group) for group in groups])[:-1]
    return {
        key: np.stack([part.mean(1) for part in np.split(rows, ends, axis=1)], axis=1) for key, rows in found.items()
    }


def at_one_layer(lab: Lab, facts: Sequence[Fact], method: Method, layer: int = LAYER) -> Changed:
    """ROME's way: every value at one layer's output."""
    name = DOWN.format(layer)
    groups = [spots(fact) for fact in facts]
    keys = mean_over(groups, lambda asked: lab.network.reads([name], asked))[name]
    bare = lab.network.reads([name], [group[0] for group in groups])[name]
    values = [lab.value(fact, layer) for fact in facts]
    wanted = np.stack([one.delta for one in values], axis=1)
    memory = Memory(keys, bare, wanted, lab.moments([layer])[name], np.zeros((len(keys), 0)))
    return {name: lab.weight(name) + dense(method(memory))}


def over_layers(
    lab: Lab,
    groups: Sequence[Sequence[Spot]],
    wanted: Array,
    method: Method,
    layers: Sequence[int] = LAYERS,
    kept: Sequence[Spot] = (),
) -> Changed:
    """MEMIT's way: the stream after the last layer is to be `wanted` (d, m), layer by layer, each with its share of
    what is then left. What stands at `kept` stays: as earlier keys, and as text for methods that look at none."""
    changed: dict[str, Array] = {}
    moments = lab.moments(layers)
    last = layers[-1]
    for at, layer in enumerate(layers):
        name = DOWN.format(layer)
        now = mean_over(groups, lambda asked: lab.network.states([last], asked, changed))[last]
        keys = mean_over(groups, lambda asked, name=name: lab.network.reads([name], asked, changed))[name]
        residuals = (wanted - now) / (len(layers) - at)
        earlier = lab.network.reads([name], kept, changed)[name] if kept else np.zeros((len(keys), 0))
        memory = Memory(
            keys,
            keys,
            residuals,
            moments[name] if isinstance(method, AlphaEdit) else moments[name] + earlier @ earlier.T,
            earlier,
        )
        changed[name] = lab.weight(name) + dense(method(memory))
    return changed


def facts_over_layers(lab: Lab, facts: Sequence[Fact], method: Method, layers: Sequence[int] = LAYERS) -> Changed:
    """MEMIT and AlphaEdit. What is added to the MLP's output at the last layer is added to the stream after it: so the
    values are those that ROME has there, clamped by the output's size and not the stream's."""
    groups = [spots(fact) for fact in facts]
    now = mean_over(groups, lambda asked: lab.network.states([layers[-1]], asked))[layers[-1]]
    deltas = [lab.value(fact, layers[-1]).delta for fact in facts]
    return over_layers(lab, groups, now + np.stack(deltas, axis=1), method, layers)


def summed(parts: Sequence[Changed], base: Callable[[str], Array]) -> Changed:
    """The deltas of edits that were solved alone, added up."""
    names = sorted({name for part in parts for name in part})
    return {name: base(name) + sum(part[name] - base(name) for part in parts if name in part) for name in names}


def dense(edit: Edit) -> Array:
    """D of an edit of one matrix."""
    return np.asarray(edit.left[0] @ edit.right[0] if edit.right else edit.left[0])


def timed(make: Callable[[], Changed]) -> tuple[Changed, float]:
    """What was made, and the seconds it took."""
    begin = time.perf_counter()
    found = make()
    return found, time.perf_counter() - begin
