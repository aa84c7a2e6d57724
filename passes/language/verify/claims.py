"""Claims from the answers of a language model: the share of correct answers for each purpose, its spread over question
forms, and fluency. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from editc.core.manifest import Constraints
from editc.core.measurements import Answer, Claim
from editc.passes.language.questions import Change
from editc.passes.language.verify import continuations
from editc.passes.language.verify.ask import Reply
from editc.passes.language.verify.forms import FORMS, STEPS

DIRECT_PURPOSES = ("efficacy", "relation")
"""The purposes of questions that ask the edited prompts themselves."""


def claims(
    every: Sequence[Reply], in_detail: Sequence[Change], titles: Sequence[str], constraints: Constraints
) -> Iterator[Claim]:
    """All claims from the replies, in the order of the constraints.

    `in_detail`: the changes that were asked for in every form. `titles`: the name of each edit. `constraints`: the
    bounds."""
    edited = [one for one in every if one.answer.purpose in DIRECT_PURPOSES]
    yield from _share_claim("efficacy", edited, constraints)
    yield from _share_by_edit("efficacy", edited, titles)
    yield from _known_claims(edited, titles)
    yield from _share_claim("paraphrase", [one for one in every if one.answer.purpose == "paraphrase"], constraints)
    yield from _neighbour_claims([one for one in every if one.answer.purpose == "neighbour"], constraints)
    answers = [one.answer for one in every]
    yield from _form_claims(answers, {one.prompt for one in in_detail})
    yield from _continuation_claims(answers)


def _share_claim(name: str, those: Sequence[Reply], constraints: Constraints) -> Iterator[Claim]:
    """The share of the replies that hold, with its bound; nothing if there are no replies."""
    if those:
        share = _mean([one.answer.holds for one in those])
        yield Claim(
            name, share, getattr(constraints, name), "", constraints.at(name), "share", least=True, of=len(those)
        )


def _share_by_edit(name: str, those: Sequence[Reply], titles: Sequence[str]) -> Iterator[Claim]:
    """The same share for each edit by itself, without a bound; nothing if the manifest has only one edit."""
    for edit, mine in _by_edit(those) if len(titles) > 1 else ():
        share = _mean([one.answer.holds for one in mine])
        yield Claim(name, share, subject=titles[edit], unit="share", least=True, of=len(mine))


def _known_claims(those: Sequence[Reply], titles: Sequence[str]) -> Iterator[Claim]:
    """`known`, the control: the share of each edit's prompts to which the old answer was the unedited model's first
    choice."""
    for edit, mine in _by_edit(those):
        share = _mean([one.known for one in mine])
        yield Claim("known", share, subject=titles[edit], unit="share", of=len(mine))


def _neighbour_claims(those: Sequence[Reply], constraints: Constraints) -> Iterator[Claim]:
    """`neighbourhood`, and the share of neighbours whose first choice is unchanged."""
    yield from _share_claim("neighbourhood", those, constraints)
    if those:
        yield Claim("neighbours_unchanged", _mean([one.first_choice for one in those]), unit="share", of=len(those))


def _form_claims(answers: Sequence[Answer], in_detail: set[str]) -> Iterator[Claim]:
    """Claims over the forms of a question: `form`, the share that holds in each form; `spread`, the largest of these
    less the smallest, counted by the form with the fewest prompts; `step`, the share by how far the prompt is from the
    edited one. Nothing if fewer than two forms were asked.

    `in_detail`: the prompts of the changes that were asked for in every form; only these count.
    """
    direct = [one.holds for one in answers if one.purpose in DIRECT_PURPOSES and one.prompt in in_detail]
    holding = {
        name: [one.holds for one in answers if one.purpose == "form" and one.form == name] for name in FORMS + STEPS
    }
    holding |= {"cloze": direct, "direct": direct}
    shares = {name: _mean(mine) for name, mine in holding.items() if mine}
    found = {name: shares[name] for name in FORMS if name in shares}
    if len(found) < 2:
        return
    yield from (Claim("form", found[name], subject=name, unit="share", of=len(holding[name])) for name in found)
    fewest = min(len(holding[name]) for name in found)
    yield Claim("spread", max(found.values()) - min(found.values()), unit="share", of=fewest)
    steps = [name for name in STEPS if name in shares]
    yield from (Claim("step", shares[name], subject=name, unit="share", of=len(holding[name])) for name in steps)


def _continuation_claims(answers: Sequence[Answer]) -> Iterator[Claim]:
    """Claims from the model's own continuations: `said`, which answer they name first (RESTOR), and fluency. Fluency
    counts plain prompts only, because the continuation of a chat ends when the answer is complete."""
    continued = [one for one in answers if any(one.said)]
    outcomes = [continuations.outcome(one.said[1], one.wanted, one.other) for one in continued]
    for name in continuations.OUTCOMES if continued else ():
        yield Claim("said", outcomes.count(name) / len(continued), subject=name, unit="share")  # type: ignore[arg-type]
    plain = [one for one in continued if not one.chat]
    for when, name in enumerate(("fluency_before", "fluency_after")) if plain else ():
        yield Claim(name, float(np.mean([continuations.entropy(one.said[when]) for one in plain])), unit="bits")


def _by_edit(those: Sequence[Reply]) -> Iterator[tuple[int, list[Reply]]]:
    """The number of each edit with its replies."""
    for edit in dict.fromkeys(one.answer.edit for one in those):
        yield edit, [one for one in those if one.answer.edit == edit]


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values)
