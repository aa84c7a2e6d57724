"""How edits of a language model went: CounterFact's measures and what the rest of the model pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from editc.core.delta import Array
from editc.core.language_edits import Fact
from editc.core.network import Network
from editc.core.prompts import Cloze, Prompt

Changed = Mapping[str, Array]


@dataclass(frozen=True)
class Row:
    """Of some edits together. ES, PS: how often P(new) > P(old) at the prompt and at its paraphrases; NS: how often a
    neighbour's answer is likelier than the new one; `same`: how often a neighbour's likeliest token is still its
    answer's first; `probability`: P(new) at the prompt, mean; `kl` and `top1` over every token of the retained texts.
    `missed`: paraphrases without success, `hit`: neighbours without it.
    """

    es: float
    ps: float
    ns: float
    same: float
    probability: float
    kl: float
    top1: float
    missed: tuple[str, ...] = ()
    hit: tuple[str, ...] = ()


def measured(network: Network, facts: Sequence[Fact], retain: Sequence[str], changed: Changed) -> Row:
    """The row of `facts` in the model as changed."""
    prompts = [(one.prompt, one) for one in facts]
    others = [(form, one) for one in facts for form in one.paraphrases]
    around = [(near, one) for one in facts for near in one.neighbours]
    new = [Cloze(text, one.answer) for text, one in prompts + others]
    old = [Cloze(text, one.was or "") for text, one in prompts + others]
    theirs = [Cloze(near.prompt, near.answer or "") for near, _ in around]
    strange = [Cloze(near.prompt, one.answer) for near, one in around]
    found = network.score([*new, *old, *theirs, *strange], changed)
    a, b, c, _ = np.split(found.total, np.cumsum([len(new), len(old), len(theirs)]))
    right, kept = a > b, c > found.total[len(found.total) - len(strange) :]
    top = found.top[len(new) + len(old) :][: len(theirs)]
    text = network.compare([Prompt(one) for one in retain], changed)
    count = len(prompts)
    return Row(
        share(right[:count]),
        share(right[count:]),
        share(kept),
        share(top),
        float(np.exp(a[:count]).mean()),
        float(text.divergence.mean()),
        float(text.agreement.mean()),
        tuple(f"{form} ({one.answer})" for (form, one), good in zip(others, right[count:], strict=True) if not good),
        tuple(f"{near.prompt} ({one.answer})" for (near, one), good in zip(around, kept, strict=True) if not good),
    )


def averaged(rows: Sequence[Row], facts: Sequence[Fact]) -> Row:
    """Of edits made one at a time: each paraphrase and each neighbour counts alike."""
    forms = [len(one.paraphrases) for one in facts]
    near = [len(one.neighbours) for one in facts]

    def over(name: str, weights: Sequence[float] | None = None) -> float:
        return float(np.average([getattr(row, name) for row in rows], weights=weights))

    return Row(
        over("es"),
        over("ps", forms),
        over("ns", near),
        over("same", near),
        over("probability"),
        over("kl"),
        over("top1"),
        tuple(one for row in rows for one in row.missed),
        tuple(one for row in rows for one in row.hit),
    )


def share(good: Array | Sequence[bool]) -> float:
    """How many are true; nan of none."""
    return float(np.mean(good)) if len(good) else float("nan")
