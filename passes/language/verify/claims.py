"""What the answers of a language model come to: shares, their spread over forms, fluency; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from editc.core.manifest import Constraints
from editc.core.measurements import Answer, Claim
from editc.passes.language.questions import Change
from editc.passes.language.verify import continuations
from editc.passes.language.verify.ask import Reply
from editc.passes.language.verify.forms import FORMS, STEPS

CHANGED = ("efficacy", "relation")
"""Purposes of the edited prompts themselves."""


def claims(
    every: Sequence[Reply], closely: Sequence[Change], titles: Sequence[str], asked: Constraints
) -> Iterator[Claim]:
    """The shares in the order of the constraints; `closely` are the changes that were asked for in every form."""
    edited = [one for one in every if one.answer.purpose in CHANGED]
    yield from _share("efficacy", edited, asked)
    yield from _each("efficacy", edited, titles)
    yield from _known_before(edited, titles)
    yield from _share("paraphrase", [one for one in every if one.answer.purpose == "paraphrase"], asked)
    yield from _neighbours([one for one in every if one.answer.purpose == "neighbour"], asked)
    answers = [one.answer for one in every]
    yield from _forms(answers, {one.prompt for one in closely})
    yield from _continuations(answers)


def _share(name: str, those: Sequence[Reply], asked: Constraints) -> Iterator[Claim]:
    if those:
        share = _mean([one.answer.holds for one in those])
        yield Claim(name, share, getattr(asked, name), "", asked.at(name), "share", least=True, of=len(those))


def _each(name: str, those: Sequence[Reply], titles: Sequence[str]) -> Iterator[Claim]:
    """One claim an edit, where there are several."""
    for edit, mine in _by_edit(those) if len(titles) > 1 else ():
        share = _mean([one.answer.holds for one in mine])
        yield Claim(name, share, subject=titles[edit], unit="share", least=True, of=len(mine))


def _known_before(those: Sequence[Reply], titles: Sequence[str]) -> Iterator[Claim]:
    """The control: of the prompts of each edit the share where the old answer was the model's first choice."""
    for edit, mine in _by_edit(those):
        share = _mean([one.known for one in mine])
        yield Claim("known", share, subject=titles[edit], unit="share", of=len(mine))


def _neighbours(those: Sequence[Reply], asked: Constraints) -> Iterator[Claim]:
    yield from _share("neighbourhood", those, asked)
    if those:
        yield Claim("neighbours_unchanged", _mean([one.chosen for one in those]), unit="share", of=len(those))


def _forms(answers: Sequence[Answer], closely: set[str]) -> Iterator[Claim]:
    """`form`, the share that holds in each, and `spread`, the largest less the smallest; `step`, the same by how far
    the prompt is from the edited one. All of the changes that were looked at closely; the spread is as coarse as the
    form with the fewest prompts."""
    direct = [one.holds for one in answers if one.purpose in CHANGED and one.prompt in closely]
    held = {
        name: [one.holds for one in answers if one.purpose == "form" and one.form == name] for name in FORMS + STEPS
    }
    held |= {"cloze": direct, "direct": direct}
    shares = {name: _mean(mine) for name, mine in held.items() if mine}
    found = {name: shares[name] for name in FORMS if name in shares}
    if len(found) < 2:
        return
    yield from (Claim("form", found[name], subject=name, unit="share", of=len(held[name])) for name in found)
    fewest = min(len(held[name]) for name in found)
    yield Claim("spread", max(found.values()) - min(found.values()), unit="share", of=fewest)
    steps = [name for name in STEPS if name in shares]
    yield from (Claim("step", shares[name], subject=name, unit="share", of=len(held[name])) for name in steps)


def _continuations(answers: Sequence[Answer]) -> Iterator[Claim]:
    """RESTOR's question, whose answer comes where the model goes on by itself; and how varied its words are, by the
    continuations of plain prompts alone, as those of a chat end when they are done."""
    told = [one for one in answers if any(one.said)]
    outcomes = [continuations.outcome(one.said[1], one.wanted, one.other) for one in told]
    for name in continuations.OUTCOMES if told else ():
        yield Claim("said", outcomes.count(name) / len(told), subject=name, unit="share")  # type: ignore[arg-type]
    plain = [one for one in told if not one.chat]
    for when, name in enumerate(("fluency_before", "fluency_after")) if plain else ():
        yield Claim(name, float(np.mean([continuations.entropy(one.said[when]) for one in plain])), unit="bits")


def _by_edit(those: Sequence[Reply]) -> Iterator[tuple[int, list[Reply]]]:
    for edit in dict.fromkeys(one.answer.edit for one in those):
        yield edit, [one for one in those if one.answer.edit == edit]


def _mean(held: Sequence[bool]) -> float:
    return sum(held) / len(held)
