"""Other answers in place of those that are forgotten, after AltPO (Mekala et al., COLING 2025, arXiv 2409.13474)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.language.schemes.ask import Ask


@dataclass(frozen=True)
class PreferAlternative:
    """-(2 / beta) mean log sigmoid(beta (log p(a) / p_before(a) - log p(y) / p_before(y))), y answers, a alternatives.

    One alternative is drawn for each row and step.
    """

    beta: float = 0.1
    """How fast the push fades once the alternative has gained on the answer."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the rows."""
        from torch.nn.functional import logsigmoid

        texts = ask.draw_alternatives()
        gain = ask.edited_about(texts).likelihoods - ask.frozen_about(texts).likelihoods
        own = ask.edited().likelihoods - ask.frozen().likelihoods
        return -(2 / self.beta) * logsigmoid(self.beta * (gain - own)).mean()
