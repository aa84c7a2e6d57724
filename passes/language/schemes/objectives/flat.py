"""Loss adjustment by an f-divergence, without a retain set or a reference (FLAT, Wang et al., ICLR 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.ask import Ask


@dataclass(frozen=True)
class TotalVariation:
    """mean (tanh(P(y)) - tanh(P(r))) / 2, P the mean probability of a token, y answers, r refusals.

    arXiv 2410.11143, with total variation as the f-divergence, which the authors take by default.
    """

    def loss(self, ask: Ask) -> Any:
        """The mean over the rows."""
        own, refused = (_mean_probability(ask, which) for which in ("own", "refused"))
        return (own.tanh() - refused.tanh()).mean() / 2


def _mean_probability(ask: Ask, which: Any) -> Any:
    """(n,): the mean probability of a token of each answer."""
    answers = ask.edited(which)
    return answers.sum_by_text(answers.token_likelihoods.exp()) / answers.lengths
