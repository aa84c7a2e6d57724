"""Answer about the subject as the unedited model answers about a stranger, after Eldan and Russinovich (2023, arXiv
2310.02238, equation 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.answers import Batch
from editc.passes.language.schemes.ask import Ask
from editc.passes.language.schemes.subject import Tokens


@dataclass(frozen=True)
class LikeAStranger:
    """mean KL(g | p(. | the row)) of the next token, over what both answers have.

    g ~ q min(1, q / q_own)^away, q the unedited model at the row about a stranger, q_own at the row itself

    What the subject's name makes likelier is pushed below what is said of a stranger, because a question may give its
    answer away in other words than the name. One stranger is drawn for each row and step, so that the goal is what the
    model says of strangers in the mean. The paper takes logits where this takes log-probabilities, which do not depend
    on a shift.
    """

    away: float = 0.0
    """How far: alpha of the paper. 0: as likely as for a stranger."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the tokens."""
        import torch

        rows = [ask.pool[one] for one in ask.index]
        drawn = [int(torch.randint(len(row.strangers), (), generator=ask.generator)) for row in rows]
        strangers = [row.strangers[one] for row, one in zip(rows, drawn, strict=True)]
        texts = [Tokens(one.ids, one.answer) for one in strangers]
        own, theirs = _places([row.own for row in rows]), _places(texts)
        pairs = [(own[i, a], theirs[i, b]) for i, one in enumerate(strangers) for a, b in one.pairs]
        here, there = torch.tensor(pairs).T
        goal = self._goal(ask, ask.frozen_about(texts).log_probabilities[there], here)
        after = ask.edited().log_probabilities[here]
        return (goal.exp() * (goal - after)).sum(-1).mean()

    def _goal(self, ask: Ask, strange: Any, here: Any) -> Any:
        """(m, v): log g at the tokens `here` of the answers, from log q (m, v)."""
        if not self.away:
            return strange
        gain = ask.frozen().log_probabilities[here] - strange
        return (strange - self.away * gain.relu()).log_softmax(-1)


def _places(texts: list[Tokens]) -> dict[tuple[int, int], int]:
    """Text and column of each token of an answer -> its number among those of a batch."""
    batch = Batch.of(texts)
    return {
        (row, column + 1): number
        for number, (row, column) in enumerate(zip(batch.rows.tolist(), batch.columns.tolist(), strict=True))
    }
