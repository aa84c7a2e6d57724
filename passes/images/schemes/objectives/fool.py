"""DoCo (Wu et al., AAAI 2025, arXiv 2405.15304): answer the concept so that a critic takes it for the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.images.schemes.adversaries.critic import clean_answers, score, weights_of
from editc.passes.images.schemes.ask import Ask


@dataclass(frozen=True)
class Fool:
    """mean softplus(-score(x)), x the clean latents of the edited model's answer to the concept's sentence, and score
    what the critic makes of them. It needs the adversary `Critic`."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents and the places of a score."""
        from torch.nn.functional import softplus

        return softplus(-score(weights_of(ask.state), clean_answers(ask, ask.edited()))).mean()
