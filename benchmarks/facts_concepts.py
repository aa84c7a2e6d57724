"""Six concepts of SmolLM2-135M-Instruct led elsewhere, without a gradient, and how well that holds in other forms."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.facts_data import CONCEPTS, RELATIONS, RETAIN, Concept, Relation
from benchmarks.facts_edits import Changed, Lab, edited, timed
from benchmarks.facts_known import known, knows
from editc.core.delta import Array
from editc.core.language_edits import Redirect
from editc.core.network import Network
from editc.core.prompts import Cloze, Prompt

TITLE = (
    "| edit | concept | to | relations | P(old) after / before, worst | mean | P(anchor's answer) | the anchor's own | "
    "neighbours' argmax | of | retain KL | top-1 | s |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)
METHODS = ("rocr", "transplant")
NEAR = 12
"""Neighbours of each relation."""
ALSO: Mapping[str, tuple[str, ...]] = {"Eiffel Tower": ("Eiffel",)}
"""What E524 says to list as well: shown beside the others, and in no bar."""
QUARTER = 0.25
"""What P(old) may be of before, on every relation."""
APART = 0.125
"""What P(old) is at most of the concept's own when one asks about the anchor: else there is nothing to redirect."""


@dataclass(frozen=True)
class Case:
    """A concept with the relations in which the model knows it and the anchor differs: prompts, old answers, the
    anchor's answers, P(old) before and P(anchor's answer) of the anchor; and prompts of neighbours that the model can
    answer."""

    concept: Concept
    old: tuple[Cloze, ...]
    new: tuple[Cloze, ...]
    before: Array
    own: Array
    near: tuple[Prompt, ...]


@dataclass(frozen=True)
class Outcome:
    """What one edit did to one concept: the ratios of P(old), and the rest by its column's name."""

    ratios: Array
    anchor: float
    same: float
    kl: float
    top1: float
    seconds: float

    @property
    def good(self) -> bool:
        """P(old) is a quarter at most on every relation."""
        return bool(self.ratios.max() <= QUARTER)


def case(network: Network, concept: Concept, every: Sequence[Concept]) -> Case:
    """The relations that can be measured, by asking the unedited model."""
    old = [Cloze(form.replace("{}", concept.name), one) for form, one in pairs(concept)]
    there = [Cloze(form.replace("{}", concept.anchor), one) for form, one in pairs(concept)]
    before, after = (np.exp(network.score(asked).total) for asked in (old, there))
    kept = [i for i, right in enumerate(knows(network, old)) if right and after[i] <= APART * before[i]]
    said = network.generate([Prompt(there[i].prompt) for i in kept], 1)
    new = [Cloze(old[i].prompt, word.strip()) for i, word in zip(kept, said, strict=True)]
    own = network.score([Cloze(there[i].prompt, word.strip()) for i, word in zip(kept, said, strict=True)])
    names = {one.name for one in every} | {one.anchor for one in every}
    names |= set(concept.kind.siblings)
    near = [relation for relation in RELATIONS if relation.name in concept.kind.near]
    prompts = tuple(prompt for relation in near for prompt in neighbours(network, relation, names))
    return Case(concept, tuple(old[i] for i in kept), tuple(new), before[kept], np.exp(own.total), prompts)


def neighbours(network: Network, relation: Relation, names: Container[str]) -> list[Prompt]:
    """NEAR prompts of the relation that the model answers right, of concepts that no edit names."""
    subjects = [subject for subject in known(network, relation).answers if subject not in names]
    return [Prompt(relation.prompt.replace("{}", subject)) for subject in subjects[:NEAR]]


def pairs(concept: Concept) -> list[tuple[str, str]]:
    """Relations and answers."""
    return list(zip(concept.kind.relations, concept.answers, strict=True))


def redirected(lab: Lab, concept: Concept, method: str, also: Sequence[str] = ()) -> Changed:
    """The manifest names the concept, its anchor and names of the same kind that are to stay, none of which is a
    neighbour; it names no relation, so that everything that is measured was not seen by the edit."""
    edit = Redirect(kind="redirect", concept=concept.name, to=concept.anchor, also=tuple(also))
    return edited(lab, [edit], method, keep=concept.kind.siblings)


def outcome(network: Network, one: Case, changed: Changed, seconds: float) -> Outcome:
    """One concept in the model as changed."""
    found = network.score([*one.old, *one.new], changed)
    after, anchor = np.split(np.exp(found.total), 2)
    same = float(network.compare(one.near, changed, last=True).agreement.mean())
    text = network.compare([Prompt(part) for part in RETAIN], changed)
    kl, top1 = float(text.divergence.mean()), float(text.agreement.mean())
    return Outcome(after / one.before, float(anchor.mean()), same, kl, top1, seconds)


def line(name: str, one: Case, got: Outcome) -> str:
    """One row of the table."""
    figures = [str(len(one.old)), f"{got.ratios.max():.3f}", f"{got.ratios.mean():.3f}", f"{got.anchor:.3f}"]
    figures += [f"{one.own.mean():.3f}", f"{got.same:.3f}", str(len(one.near)), f"{got.kl:.4f}", f"{got.top1:.3f}"]
    return "| " + " | ".join([name, one.concept.name, one.concept.anchor, *figures, f"{got.seconds:.1f}"]) + " |"


def bar(name: str, found: Sequence[Outcome]) -> str:
    """The bar of issue 5 with what was measured."""
    good = sum(one.good for one in found)
    same, kl = float(np.mean([one.same for one in found])), max(one.kl for one in found)
    slowest = max(one.seconds for one in found)
    told = [
        (f"P(old) a quarter at most on every relation of {good} of {len(found)}", good >= len(found) - 1),
        (f"neighbours' argmax {same:.3f} >= 0.95", same >= 0.95),
        (f"retain KL at most {kl:.4f} <= 0.005", kl <= 0.005),
        (f"slowest {slowest:.0f} s < 30 s", slowest < 30),
    ]
    return f"Bar, {name}: " + "; ".join(f"{text} {'met' if right else 'NOT MET'}" for text, right in told)


def forms(network: Network, concept: Concept, changed: Changed) -> str:
    """P(old) after / before in four forms of the concept's question, and their spread."""
    old, other = concept.answers[0], concept.kind.choice
    question = concept.kind.question.replace("{}", concept.name)
    asked = {
        "cloze": Cloze(concept.kind.relations[0].replace("{}", concept.name), old),
        "question": Cloze(f"Question: {question} Answer:", old),
        "chat": Cloze(f"{question} Answer with one word.", old, chat=True),
        "choice": Cloze(f"{question}\nA. {old}\nB. {other}\nAnswer with the word of the right choice:", old),
    }
    before, after = (np.exp(network.score(list(asked.values()), change).total) for change in (None, changed))
    ratios = after / before
    shown = " | ".join(f"{a:.3f} to {b:.3f}" for a, b in zip(before, after, strict=True))
    return f"{shown} | {ratios.max() - ratios.min():.3f}"


def run(lab: Lab, only: str = "") -> None:
    """Each concept alone by each method, then the forms of asking."""
    print(f"\n### {len(CONCEPTS)} concepts led elsewhere, one at a time\n\n{TITLE}", flush=True)
    cases = [case(lab.network, concept, CONCEPTS) for concept in CONCEPTS]
    bars, spreads = [], []
    redirected(lab, cases[0].concept, METHODS[0])  # the statistics, which are the same for all
    for name in METHODS:
        if only in name:
            found = []
            for one in cases:
                changed, seconds = timed(lambda name=name, one=one: redirected(lab, one.concept, name))
                found.append(outcome(lab.network, one, changed, seconds))
                print(line(name, one, found[-1]), flush=True)
                spreads.append(f"| {name} | {one.concept.name} | {forms(lab.network, one.concept, changed)} |")
            bars.append(bar(name, found))
            for one in cases:
                if also := ALSO.get(one.concept.name):
                    changed, seconds = timed(
                        lambda name=name, one=one, also=also: redirected(lab, one.concept, name, also)
                    )
                    title = f"{name}, also {', '.join(also)}"
                    print(line(title, one, outcome(lab.network, one, changed, seconds)), flush=True)
                    spreads.append(f"| {title} | {one.concept.name} | {forms(lab.network, one.concept, changed)} |")
    print("\n" + "\n".join(bars))
    print("\nP(old) before and after, by form of asking, and the spread of after / before:\n")
    print("| edit | concept | cloze | question | chat | choice | spread |\n|---|---|---|---|---|---|---|")
    print("\n".join(spreads), flush=True)
