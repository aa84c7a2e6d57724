"""Preference of a refusal over the answer (DPO, Rafailov et al., NeurIPS 2023; as TOFU has it, arXiv 2401.06121)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.ask import Ask


@dataclass(frozen=True)
class PreferRefusal:
    """-(2 / beta) mean log sigmoid(beta (log p(r) / p_before(r) - log p(y) / p_before(y))), y answers, r refusals."""

    beta: float = 0.1
    """How fast the push fades once the refusal has gained on the answer."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the rows."""
        from torch.nn.functional import logsigmoid

        refused, own = (ask.edited(which).likelihoods - ask.frozen(which).likelihoods for which in ("refused", "own"))
        return -(2 / self.beta) * logsigmoid(self.beta * (refused - own)).mean()
