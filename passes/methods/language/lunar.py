"""LUNAR (Shen et al., NeurIPS 2025, arXiv 2502.07218): questions about a concept are answered as questions about what
nobody knows."""

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
class LUNAR:
    """Add one constant vector to what an MLP writes at the end of every sentence about the concept.

    r = coefficient (mean of h at sentences about what nobody knows - mean of h at sentences about the concept)
    D = r 1^T K^T (lamb M + K K^T)^-1, M as in `memit`

    h is the residual stream behind the layer at a sentence's last token, and K (d_in, m) what the matrix reads there.
    The sentences are the edit's `relations`, as they stand and with invented names in place of the concept's. The
    published code trains towards the same target; this is the ridge that the paper derives.
    """

    works_on: ClassVar[str] = "memory"
    """What it is called with. A `Memory`: keys and values of one matrix."""
    solves: ClassVar[tuple[str, ...]] = ("erase",)
    """The kinds of edits that may name it."""
    leads: ClassVar[tuple[str, ...]] = ("refusal",)
    """Where it can lead a concept: see `LeadsElsewhere`."""
    single: ClassVar[bool] = True
    """It writes the whole edit into one matrix."""
    reads: ClassVar[ReadingRule] = "end"
    """Where its keys are read: at the end of each sentence."""
    depth: ClassVar[float] = 0.69
    """Where its layer is by default: layer 22 of 32 (Llama 3 8B), as published."""
    coefficient: float = 2.0
    """How far the stream moves: 1 is the way from the concept to what nobody knows (published: 2)."""
    lamb: float = 100.0
    """How many tokens of ordinary text weigh as much as one sentence, as in `transplant`."""

    def __post_init__(self) -> None:
        require_at_least_zero(coefficient=self.coefficient, lamb=self.lamb)

    def value(self, states: KeyStates) -> Array:
        """The vector r (d,). It is the same at every key."""
        return np.asarray(self.coefficient * (states.unknown.mean(axis=1) - states.own.mean(axis=1)))

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m; raises as `MEMIT` does."""
        return MEMIT(self.lamb)(memory)
