"""When is a fact's value learned: how likely the answer is made, against what that costs the neighbours and the text.

Measured on other facts than those of the bars, of which none was looked at when the default was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.facts_data import RETAIN
from benchmarks.facts_edits import Lab, edited, timed
from benchmarks.facts_known import chosen
from benchmarks.facts_measure import Row, averaged, measured
from editc.backends.networks import CausalNetwork
from editc.core.language_edits import Fact
from editc.core.network import DeltaTarget, Descent, LearnedValue, ValueGoal

FIRST, LAST = 12, 36
ENDS = (1.0, 0.98, 0.95, 0.9)
"""Probabilities of the answer at which the descent ends; 1 is never, which is 25 steps."""


@dataclass(frozen=True)
class Ending(CausalNetwork):
    """The same model, whose values are learned until the answer is likely `enough`; `steps` has how many each took."""

    enough: float = 0.95
    steps: tuple[list[int], ...] = ([],)

    def fingerprint(self) -> str:
        """Another one, for the cache knows a value by the passes' own way of learning it."""
        return f"{super().fingerprint()} {self.enough}"

    def learn_value(
        self, wish: ValueGoal, layer: int, where: DeltaTarget, how: Descent, changed: Any = None
    ) -> LearnedValue:
        """As asked, but for the end."""
        found = super().learn_value(wish, layer, where, replace(how, enough=self.enough), changed)
        self.steps[0].append(len(found.losses) - 1)
        return found


def run(lab: Lab, facts: Sequence[Fact], line: Callable[[str, int, Row, float], str], title: str) -> None:
    """Two dozen facts one at a time by `rome`, and at once by `memit` and `alphaedit`, for each end."""
    alone, together = [chosen([fact])[0] for fact in facts[FIRST:LAST]], chosen(facts[FIRST:LAST])
    print(f"\n### When a value is learned\n\n{title}", flush=True)
    for enough in ENDS:
        network = Ending(lab.network.model, lab.network.tokenizer, enough, ([],))
        own = replace(lab, network=network, ctx=replace(lab.ctx, network=network))
        rows, seconds = [], 0.0
        for fact in alone:
            changed, took = timed(lambda fact=fact, own=own: edited(own, [fact], "rome"))
            rows.append(measured(network, [fact], RETAIN, changed))
            seconds += took
        count = sum(network.steps[0]) / len(network.steps[0]) if network.steps[0] else float("nan")
        name = f"P {enough}, {count:.1f} steps: rome, one at a time"
        print(line(name, len(alone), averaged(rows, alone), seconds / len(alone)), flush=True)
        for method in ("memit", "alphaedit"):
            changed, took = timed(lambda method=method, own=own: edited(own, together, method))
            print(line(f"P {enough}: {method}", len(together), measured(network, together, RETAIN, changed), took))
