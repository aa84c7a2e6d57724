"""The facts that the model knows, in the order in which they are edited: `python -m benchmarks.facts --probe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import log

from benchmarks.facts_data import RELATIONS, Relation
from editc.core.language_edits import Fact, PromptAnswer
from editc.core.network import Network
from editc.core.prompts import Cloze

EACH = 5
"""Facts of a relation that may be edited; the rest are neighbours."""
NEIGHBOURS = 8
"""Neighbours of a fact at most."""


@dataclass(frozen=True)
class Known:
    """Of one relation, the subjects whose answer the model gives, in the order of the candidates, and the others."""

    relation: Relation
    answers: Mapping[str, str]
    unknown: tuple[str, ...]

    def asked(self, subject: str) -> PromptAnswer:
        """The prompt of a subject and its answer."""
        return PromptAnswer(self.relation.prompt.replace("{}", subject), self.answers[subject])


def knows(network: Network, asked: Sequence[Cloze]) -> list[bool]:
    """True where the likeliest tokens after the prompt are the answer: its first is the likeliest, and those after it
    have more than half together."""
    found = network.score(asked)
    rest = found.total - found.first
    return [bool(top and left > log(0.5)) for top, left in zip(found.top, rest, strict=True)]


def known(network: Network, relation: Relation) -> Known:
    """One relation's candidates, asked."""
    asked = [Cloze(relation.prompt.replace("{}", subject), answer) for subject, answer in relation.answers.items()]
    right = dict(zip(relation.answers, knows(network, asked), strict=True))
    answers = {subject: answer for subject, answer in relation.answers.items() if right[subject]}
    return Known(relation, answers, tuple(subject for subject in right if not right[subject]))


def facts(every: Sequence[Known]) -> tuple[Fact, ...]:
    """The first EACH of every relation, one relation after the other in turn, no subject twice; `neighbours` is the
    whole rest of the relation, of which `chosen` takes those that a run leaves alone."""
    rows: list[list[Fact]] = [[] for _ in every]
    taken: set[str] = set()
    for _ in range(EACH):
        for one, row in zip(every, rows, strict=True):
            subject = next((subject for subject in one.answers if subject not in taken), None)
            if subject is not None:
                taken.add(subject)
                row.append(fact(one, subject))
    return tuple(one for turn in zip_longest(*rows) for one in turn if one is not None)


def fact(known: Known, subject: str) -> Fact:
    """The edit of one subject: its new answer is that of the next subject of the relation that has another one."""
    subjects = list(known.answers)
    at = subjects.index(subject)
    turned = subjects[at + 1 :] + subjects[:at]
    was = known.answers[subject]
    new = next(known.answers[one] for one in turned if known.answers[one] != was)
    other = tuple(one.replace("{}", subject) for one in known.relation.paraphrases)
    neighbours = tuple(known.asked(one) for one in reversed(turned))
    given = {"template": known.relation.prompt, "subject": subject, "answer": new, "was": was}
    return Fact(**given, paraphrases=other, neighbours=neighbours)


def chosen(edits: Sequence[Fact]) -> tuple[Fact, ...]:
    """The edits with their neighbours: of subjects that are not edited, with another answer than the new one,
    NEIGHBOURS at most, from the relation's end, so that runs of any size share them."""
    subjects = {edit.subject for edit in edits}
    found = []
    for edit in edits:
        mine = {edit.template.replace("{}", subject) for subject in subjects}
        free = [one for one in edit.neighbours if one.prompt not in mine and one.answer != edit.answer]
        found.append(replace(edit, neighbours=tuple(free[:NEIGHBOURS])))
    return tuple(found)


def probe(network: Network) -> None:
    """Prints what the model knows of every relation, and how often the paraphrases have the answer too."""
    print("| relation | known | of | paraphrases answered | not known |\n|---|---|---|---|---|")
    for relation in RELATIONS:
        one = known(network, relation)
        shares = []
        for form in relation.paraphrases:
            asked = [Cloze(form.replace("{}", subject), answer) for subject, answer in one.answers.items()]
            shares.append(float(network.score(asked).top.mean()))
        shown = ", ".join(f"{share:.2f}" for share in shares)
        row = [relation.name, str(len(one.answers)), str(len(relation.answers)), shown, ", ".join(one.unknown)]
        print("| " + " | ".join(row) + " |", flush=True)


def all_known(network: Network) -> tuple[Known, ...]:
    """Every relation, asked."""
    return tuple(known(network, relation) for relation in RELATIONS)
