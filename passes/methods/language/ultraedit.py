"""UltraEdit (Gu et al., TMLR 2026, arXiv 2505.14679): facts from one forward and one backward pass, without a learned
value and without statistics of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from editc.core.delta import Array
from editc.core.language_problem import AnswerGradients
from editc.core.solution import Edit, Stats
from editc.numerics import memory as memories
from editc.numerics.ridge import factorise, require_finite
from editc.passes.methods import ReadingRule, require_at_least_zero


@dataclass(frozen=True)
class UltraEdit:
    """Move the outputs of a matrix against the gradient of the answers' loss, at every token before an answer's.

    D = V H^T (H H^T + l2 I)^-1,  v = -rate |h~|^2 g~

    H (d_in, t) is what the matrix reads at the t tokens and G (d_out, t) the gradient there. h~ and g~ are H and G with
    each coordinate normalised to mean 0 and deviation 1 over these tokens and those of all earlier edits (the lifelong
    normalisation of the paper). The solve takes H as it is.
    """

    works_on: ClassVar[str] = "gradients"
    """What it is called with. An `AnswerGradients`: what one matrix reads before the answers, with the gradients."""
    solves: ClassVar[tuple[str, ...]] = ("fact",)
    """The kinds of edits that may name it."""
    single: ClassVar[bool] = False
    """It edits the matrices of several layers."""
    reads: ClassVar[ReadingRule] = "end"
    """Where later edits must leave its outputs: at the end of each prompt, where it writes an answer's first token."""
    depth: ClassVar[float] = 0.94
    """Where its last layer is by default: layer 30 of 32 (Mistral 7B), as published."""
    rate: float = 1e-6
    """How far an output moves (published as `lr`: 1e-6)."""
    l2: float = 1.0
    """Ridge on D (published: 1)."""

    def __post_init__(self) -> None:
        require_at_least_zero(rate=self.rate, l2=self.l2)

    def __call__(self, given: AnswerGradients) -> Edit:
        """A low-rank edit with one rank for each token. Raises ValueError for fewer than two tokens, whose deviation
        is not known, SingularError and NonFiniteError."""
        count = given.keys.shape[1] + given.earlier_keys.shape[1]
        if count < 2:
            raise ValueError("it normalises over the tokens of all answers, and there is one: add a fact")
        require_finite("the gradients", given.keys, given.gradients, given.earlier_keys, given.earlier_gradients)
        right, factor = memories.right_factor(given.keys, factorise(np.eye(len(given.keys))), self.l2)
        return Edit("low-rank", (self.values(given),), (right,), Stats(factor.condition, 0.0, len(right)))

    def values(self, given: AnswerGradients) -> Array:
        """V (d_out, t): what is to be added to the output at each token."""
        keys = normalised(given.keys, given.earlier_keys)
        gradients = normalised(given.gradients, given.earlier_gradients)
        return np.asarray(-self.rate * (keys**2).sum(axis=0) * gradients * given.strengths)


def normalised(columns: Array, earlier: Array) -> Array:
    """The columns (d, t) with each coordinate at mean 0 and deviation 1 over them and the earlier columns (d, s). A
    coordinate that never changes becomes 0."""
    every = np.hstack([earlier, columns])
    spread = every.std(axis=1, ddof=1, keepdims=True)
    return np.asarray((columns - every.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0))
