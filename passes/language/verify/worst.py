"""Find the phrasings in which an edit holds worst: of many sentences that a prompt can be put into, the few with the
least margin between the right and the wrong answer.

The weights over phrasings, each 0 to 1 and k in sum, under which the mean margin is least are 1 at the k least margins
and 0 elsewhere (Unlearn-WorstCase solves the same by projection), so sorting finds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from editc.core.delta import Array
from editc.core.measurements import Claim
from editc.core.prompts import Cloze
from editc.passes.language.questions import Change
from editc.passes.language.verify.ask import LOST_RATIO
from editc.passes.language.verify.base_model import BaseModel
from editc.texts import read_lines

LEAST = 1e-30
"""What stands for a probability of 0 in a logarithm."""


@dataclass(frozen=True)
class Phrasing:
    """One sentence around the edited prompts, and how well the edits hold in it."""

    template: str
    """The sentence, with `{}` for a prompt; it can stand under `contexts` of an edit."""
    margin: float
    """The mean over prompts of the logarithm of the right answer's probability over the wrong one's, in nats. Where an
    edit has no right answer: of the wrong answer's probability before the edit over that after it."""
    share: float
    """The share of the prompts that hold."""


def phrasings() -> tuple[str, ...]:
    """The sentences that ship with editc, each with one `{}`."""
    return read_lines("phrasings.txt")


def find_worst(
    base: BaseModel, asked: Sequence[Change], changed: Mapping[str, Array], count: int
) -> tuple[Phrasing, ...]:
    """The `count` worst phrasings of the edits that have an old answer, worst first; empty if none has one.

    `changed`: matrix name -> edited weight, as stored.
    """
    return rank_phrasings(base, asked, changed)[:count]


def rank_phrasings(base: BaseModel, asked: Sequence[Change], changed: Mapping[str, Array]) -> tuple[Phrasing, ...]:
    """Every phrasing of the edits that have an old answer, worst first; empty if none has one."""
    usable = [change for change in asked if change.old]
    every = [(template, change) for template in phrasings() for change in usable]
    if not every:
        return ()
    cloze = [
        Cloze(template.replace("{}", change.prompt), answer)
        for template, change in every
        for answer in (change.new or change.old, change.old)
    ]
    before, after = (
        np.exp(found.total).reshape(-1, 2) for found in (base.score(cloze), base.network.score(cloze, changed))
    )
    margins = np.array([_margin(change, *rows) for (_, change), *rows in zip(every, before, after, strict=True)])
    holds = np.array([_holds(change, *rows) for (_, change), *rows in zip(every, before, after, strict=True)])
    shape = (len(phrasings()), len(usable))
    found = [
        Phrasing(template, float(margin), float(share))
        for template, margin, share in zip(
            phrasings(), margins.reshape(shape).mean(1), holds.reshape(shape).mean(1), strict=True
        )
    ]
    return tuple(sorted(found, key=lambda one: one.margin))


def claims(found: Sequence[Phrasing]) -> Iterator[Claim]:
    """`worst_phrasing`, the share of prompts that hold in the worst phrasings together, and `phrasing`, that in each;
    nothing where none was found."""
    if found:
        yield Claim("worst_phrasing", float(np.mean([one.share for one in found])), unit="share", least=True)
    yield from (Claim("phrasing", one.share, subject=one.template, unit="share", least=True) for one in found)


def _margin(change: Change, before: Array, after: Array) -> float:
    """The margin of one prompt in nats. The rows are the probabilities of the right and of the wrong answer."""
    better = after[0] if change.new else before[1]
    return float(np.log(max(better, LEAST)) - np.log(max(after[1], LEAST)))


def _holds(change: Change, before: Array, after: Array) -> bool:
    """True if the edit holds for one prompt, as `ask.answer_holds` counts it."""
    lost = bool(after[1] <= LOST_RATIO * before[1])
    return bool(after[0] > after[1]) or (change.loss_is_enough and lost) if change.new else lost
