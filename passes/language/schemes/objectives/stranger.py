"""Answer about the subject as the unedited model answers about a stranger (Eldan and Russinovich, 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.answers import Batch
from editc.passes.language.schemes.ask import Ask
from editc.passes.language.schemes.subject import Tokens


@dataclass(frozen=True)
class LikeAStranger:
    """mean KL(p_before(. | a stranger's row) | p(. | the row)) of the next token, over what both answers have.

    One stranger is drawn for each row and step, so the goal is what the model says of strangers in the mean.
    """

    def loss(self, ask: Ask) -> Any:
        """The mean over the tokens."""
        import torch

        rows = [ask.pool[one] for one in ask.index]
        drawn = [int(torch.randint(len(row.strangers), (), generator=ask.generator)) for row in rows]
        strangers = [row.strangers[one] for row, one in zip(rows, drawn, strict=True)]
        goal = ask.frozen_about([Tokens(one.ids, one.answer) for one in strangers]).log_probabilities
        after = ask.edited().log_probabilities
        own, theirs = _places([row.own for row in rows]), _places([Tokens(one.ids, one.answer) for one in strangers])
        pairs = [(own[i, a], theirs[i, b]) for i, one in enumerate(strangers) for a, b in one.pairs]
        here, there = torch.tensor(pairs).T
        goal, after = goal[there], after[here]
        return (goal.exp() * (goal - after)).sum(-1).mean()


def _places(texts: list[Tokens]) -> dict[tuple[int, int], int]:
    """Text and column of each token of an answer -> its number among those of a batch."""
    batch = Batch.of(texts)
    return {
        (row, column + 1): number
        for number, (row, column) in enumerate(zip(batch.rows.tolist(), batch.columns.tolist(), strict=True))
    }
