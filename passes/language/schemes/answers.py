"""What a model makes of some texts, at the tokens of their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from editc.passes.language.schemes.subject import Tokens


@dataclass(frozen=True, eq=False)
class Batch:
    """Texts side by side, padded on the right."""

    ids: Any
    """(n, t): the tokens."""
    mask: Any
    """(n, t): 1 where a token is text."""
    rows: Any
    """(m,): the text of each token of an answer."""
    columns: Any
    """(m,): the column of the token before it, at whose state the model predicts it."""

    @staticmethod
    def of(texts: Sequence[Tokens]) -> Batch:
        """The texts as tensors."""
        import torch

        longest = max(len(one.ids) for one in texts)
        ids = torch.tensor([[*one.ids, *[0] * (longest - len(one.ids))] for one in texts])
        mask = torch.tensor([[1] * len(one.ids) + [0] * (longest - len(one.ids)) for one in texts])
        places = [
            (row, column - 1)
            for row, one in enumerate(texts)
            for column in range(len(one.ids) - one.answer, len(one.ids))
        ]
        rows, columns = torch.tensor(places).T
        return Batch(ids, mask, rows, columns)

    @property
    def targets(self) -> Any:
        """(m,): the tokens of the answers."""
        return self.ids[self.rows, self.columns + 1]

    def at_answers(self, states: Any) -> Any:
        """(m, d): of states (n, t, d), those at which the answers' tokens are predicted."""
        return states[self.rows, self.columns]


@dataclass(frozen=True, eq=False)
class Answers:
    """The logits of some texts at the tokens of their answers."""

    batch: Batch
    """The texts."""
    logits: Any
    """(m, v): the logits at each token of an answer."""

    @cached_property
    def log_probabilities(self) -> Any:
        """(m, v): the log-probabilities of every token there."""
        return self.logits.log_softmax(-1)

    @cached_property
    def token_likelihoods(self) -> Any:
        """(m,): the log-probability of each token of an answer."""
        return self.log_probabilities.gather(1, self.batch.targets[:, None])[:, 0]

    @property
    def nll(self) -> Any:
        """The mean negative log-likelihood of a token of the answers: a scalar."""
        return -self.token_likelihoods.mean()

    @property
    def likelihoods(self) -> Any:
        """(n,): the log-likelihood of each whole answer."""
        return self.sum_by_text(self.token_likelihoods)

    @property
    def lengths(self) -> Any:
        """(n,): how many tokens each answer has."""
        import torch

        return self.sum_by_text(torch.ones(len(self.batch.rows)))

    def sum_by_text(self, values: Any) -> Any:
        """(n,): the sums of values (m,) over the tokens of each answer."""
        return values.new_zeros(len(self.batch.ids)).index_add(0, self.batch.rows, values)


def ask_model(logits: Callable[[Any], Any], states: Any, batch: Batch) -> Answers:
    """The answers that states (n, t, d) behind the final norm lead to."""
    return Answers(batch, logits(batch.at_answers(states)))
