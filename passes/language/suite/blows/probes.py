"""Probes on the states: whether a model that no longer says the answers still tells right ones from wrong ones inside.

A linear probe learns on kept questions which state at the end of question and answer goes with a right answer, and is
tried on forgotten ones. Guessing gets 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from editc.core.delta import Array
from editc.core.prompts import Spot
from editc.passes.language.locate.probing import probe_scores
from editc.passes.language.suite.ask import prompt_of
from editc.passes.language.suite.blows.blow import Blow, Target
from editc.passes.language.suite.readings import Figure, Figures, Item

LAYERS = 4
"""How many layers are read, at even steps from a third of the depth to the last. Chosen by hand."""


def strike(target: Target) -> Figures:
    """`probe_accuracy`: the share of forgotten answers, right and wrong, that the best probe tells; `by_item` has that
    of each layer."""
    known = [item for item in target.of("retain") if item.perturbed_answer]
    asked = [item for item in target.of("forget") if item.perturbed_answer]
    if len(known) < 2 or not asked:
        return {}
    layers = _layers(target.network.layers)
    streams = target.network.states(layers, _spots((*known, *asked)), target.changed)
    count = 2 * len(known)
    sides = np.tile([1.0, -1.0], len(known) + len(asked))
    accuracies = [
        transfer_accuracy(stream[:, :count], sides[:count], stream[:, count:], sides[count:])
        for stream in (streams[layer] for layer in layers)
    ]
    return {"probe_accuracy": Figure(max(accuracies), tuple(accuracies), "share")}


def transfer_accuracy(known: Array, sides: Array, asked: Array, right: Array) -> float:
    """The share of the states `asked` (d, m) whose side, 1 or -1 in `right`, a probe of `known` (d, n) finds."""
    return float(np.mean(np.sign(probe_scores(known, sides > 0, asked)) == right))


def _layers(count: int) -> tuple[int, ...]:
    """The layers that are read."""
    return tuple(sorted({round(place) for place in np.linspace(count // 3, count - 1, LAYERS)}))


def _spots(items: Sequence[Item]) -> list[Spot]:
    """The last token of each item's right answer and of its first wrong one, in turn. The right one is in the words of
    the wrong ones where the item has it so."""
    both = [(item, (item.paraphrased_answer or item.answer, item.perturbed_answer[0])) for item in items]
    return [Spot(f"{prompt_of(replace(item, chat=False))} {text}") for item, texts in both for text in texts]


BLOW = Blow("whether a linear probe still tells right answers from wrong ones: 0.5 is guessing", strike)
"""The blow `probes`."""
