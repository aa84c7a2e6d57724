"""The facts of `benchmarks.sequence`, spread over the matrices of several layers: `python -m
benchmarks.sequence_layers [WAY ...] --layers 3-8`.

A value is learned behind the last layer, shared by all names as there. Of what the stream at a name still lacks after
that layer, each matrix writes an equal part of what the ones below left, as editc's own builds do. The goal is the
stream of the unedited model plus the value, so what earlier batches spilled is taken back. `--seed` draws other people,
answers and an other order.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import sequence
from benchmarks.sequence import BATCH, Bed, Several, Ways
from benchmarks.sequence_data import thousand
from editc.core.delta import Array
from editc.core.language_edits import Fact
from editc.core.language_problem import Memory
from editc.core.prompts import Spot
from editc.core.solution import Edit
from editc.passes.language import sentences
from editc.passes.language.keys import moments
from editc.passes.language.keys.derive import with_ridges
from editc.passes.methods.language.joint import Joint
from editc.passes.methods.language.memit import MEMIT


class Spread(Several):
    """One way over the matrices of several layers."""

    def __init__(self, given: Bed, layers: Sequence[int], method: Callable[[Any], Edit], held: bool) -> None:
        self.names = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in layers]
        super().__init__(given, self.names, method, held)
        self.network, self.last = given.lab.network, layers[-1]
        found = moments.moments(self.network, self.names, moments.corpus(), given.lab.ctx.cache)
        self.moments = with_ridges(found)
        self.read = {name: [np.zeros((len(self.moments[name]), 0))] for name in self.names}

    def write(self, facts: Sequence[Fact]) -> None:
        begin = time.process_time()
        part = slice(self.done, self.done + len(facts))
        spots = [sentences.spot(one.template.partition("{}")[0] + "{}", one.subject) for one in facts]
        goal = self.stream(spots, {}) + self.bed.values[:, part]
        for number, name in enumerate(self.names):
            missing = (goal - self.stream(spots, self.now)) / (len(self.names) - number)
            keys = self.network.read_keys([name], spots, self.now)[name]
            preserved = np.hstack(self.read[name]) if self.held else keys[:, :0]
            edit = self.method(Memory(keys, keys, missing, self.moments[name], preserved))
            self.now[name] = self.now[name] + edit.left[0] @ edit.right[0]
            self.read[name].append(keys)
        self.done = part.stop
        self.seconds.append((time.process_time() - begin) / len(facts))

    def stream(self, spots: Sequence[Spot], changed: Mapping[str, Array]) -> Array:
        """The residual stream (d, m) behind the last layer."""
        return self.network.states([self.last], spots, changed)[self.last]


def ways(given: Bed, layers: Sequence[int], lamb: float) -> Ways:
    """Name of a way -> how it begins."""
    return {
        "joint": lambda: Spread(given, layers, Joint(lamb), True),
        "memit": lambda: Spread(given, layers, MEMIT(lamb), False),
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ways", nargs="*", default=["joint"], metavar="WAY", help="joint, memit")
    parser.add_argument("--at", default="100,500", help="after how many facts to measure")
    parser.add_argument("--layers", default="3-8", help="the first and the last layer")
    parser.add_argument("--lamb", type=float, default=3000.0)
    parser.add_argument("--relations", type=int, default=4, help="how many kinds of facts, 1 to 4")
    parser.add_argument("--seed", type=int, default=0, help="which facts")
    given = parser.parse_args()
    sizes = [int(one) for one in given.at.split(",")]
    facts = thousand(given.relations, given.seed)[: max(sizes)]
    first, _, last = given.layers.partition("-")
    layers = range(int(first), int(last or first) + 1)
    made = sequence.bed(facts, layers[-1])
    assert max(sizes) % BATCH == 0
    sequence.run(made, facts, sizes, given.ways, ways(made, layers, given.lamb))


if __name__ == "__main__":
    main()
