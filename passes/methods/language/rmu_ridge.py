"""RMU (Li et al., ICML 2024, arXiv 2403.03218) in closed form: what a model thinks of a concept becomes noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from editc.core.delta import Array
from editc.core.language_problem import KeyStates, Memory
from editc.core.solution import Edit
from editc.passes.methods import ReadingRule, require_at_least_zero
from editc.passes.methods.language.memit import MEMIT


@dataclass(frozen=True)
class RMURidge:
    """Lead the state at every word from the concept's name on to one fixed random vector.

    r = c u - h,  c = scale times the mean length of h
    D = R K^T (lamb M + K K^T)^-1 in each layer, M as in `memit`

    h is the residual stream behind the last edited layer at the end of a word, u a random unit vector that depends on
    the seed alone. RMU (method `rmu`) trains towards the same target, with a loss that holds the states of other text;
    here ordinary text holds by its second moment, and what is left of r is divided over the layers as in `memit`.
    """

    works_on: ClassVar[str] = "memory"
    """What it is called with. A `Memory`: keys and values of one matrix."""
    solves: ClassVar[tuple[str, ...]] = ("erase",)
    """The kinds of edits that may name it."""
    leads: ClassVar[tuple[str, ...]] = ("noise",)
    """Where it can lead a concept: see `LeadsElsewhere`."""
    single: ClassVar[bool] = False
    """It spreads the edit over several layers."""
    reads: ClassVar[ReadingRule] = "words"
    """Where its keys are read: at the end of each word from the name on."""
    depth: ClassVar[float] = 0.22
    """Where its last layer is by default: layer 7 of 32, as published."""
    scale: float = 1.0
    """The length of the target, as a multiple of the mean length of the states. Published as an absolute number (2 to
    20) that must be found for each model."""
    lamb: float = 100.0
    """How many tokens of ordinary text weigh as much as one word, as in `transplant`."""

    def __post_init__(self) -> None:
        require_at_least_zero(scale=self.scale, lamb=self.lamb)

    def value(self, states: KeyStates) -> Array:
        """The way (d,) from the state at one key to the target, which all keys share."""
        drawn = np.random.default_rng(states.seed).standard_normal(len(states.here))
        length = self.scale * float(np.linalg.norm(states.own, axis=0).mean())
        return np.asarray(length * drawn / np.linalg.norm(drawn) - states.here)

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m; raises as `MEMIT` does."""
        return MEMIT(self.lamb)(memory)
