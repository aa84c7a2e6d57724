"""Relearning: how many steps of training bring half of the forgotten answers back, on their own text and on text
beside it (kept questions). A model that never saw the answers needs some steps too: compare with the oracle's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np

from editc.core.measurements import Tuning
from editc.passes.language.suite.ask import cloze_of
from editc.passes.language.suite.blows.blow import Blow, Target
from editc.passes.language.suite.readings import Figure, Figures, Item

CHECKED = (0, 1, 2, 4, 8, 16, 32)
"""The numbers of steps after which the forgotten answers are scored."""
HOW = Tuning(steps=CHECKED[-1], rate=2e-4, rank=8, batch=10)
"""How the model is trained: LoRA on all layers. Chosen by hand: steps so small that their number tells models
apart."""
BACK = 0.5
"""Answers are back from this share of their probability before the edit."""
UNKNOWN = 1.0
"""What counts as their probability before the edit where nobody measured it."""
FIGURE = "forget_Q_A_Prob"
"""The figure that says how much there is to bring back."""


def strike(target: Target) -> Figures:
    """`relearn_steps` and `relearn_beside_steps`: the first checked number of steps at which half is back, inf where
    it never is. `by_item` is the curve: the mean probability of the forgotten answers at each checked number."""
    forgotten, half = target.of("forget"), half_of(target.unedited)
    found = {}
    for name, text in (("relearn_steps", forgotten), ("relearn_beside_steps", target.of("retain"))):
        if forgotten and text:
            curve = relearning_curve(target, text, forgotten, half)
            found[name] = Figure(steps_to(curve, half), curve, "steps")
    return found


def half_of(unedited: Figures) -> float:
    """The probability from which half counts as back."""
    return BACK * (unedited[FIGURE].value if FIGURE in unedited else UNKNOWN)


def steps_to(curve: Sequence[float], half: float) -> float:
    """The first of CHECKED at which the curve reaches `half`; inf where it does not."""
    return next((float(step) for step, value in zip(CHECKED, curve, strict=False) if value >= half), inf)


def relearning_curve(
    target: Target, text: Sequence[Item], forgotten: Sequence[Item], half: float = inf
) -> tuple[float, ...]:
    """The mean probability per token of the forgotten answers after each of CHECKED steps of training on `text`. Only
    the first where that is `half` or more: such a model has nothing to learn back, and is not trained."""
    network, scored = target.network, [cloze_of(item, item.answer) for item in forgotten]
    curve: list[float] = []

    def watch(step: int, loss: float) -> bool:
        """Score the forgotten answers where the step is one of CHECKED."""
        if step in CHECKED:
            curve.append(float(np.mean([one.probability for one in network.score_tokens(scored)])))
        return step == 0 and curve[0] >= half

    how = Tuning(**{**HOW.__dict__, "seed": target.seed})
    network.tune([cloze_of(item, item.answer) for item in text], how, target.changed, watch)
    return tuple(curve)


BLOW = Blow("training steps until half of the forgotten answers are back: at least as many as the oracle's", strike)
"""The blow `relearn`."""
