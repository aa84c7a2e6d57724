"""ConceptVectors (Hong et al., 2024, arXiv 2406.11614): the columns that name a concept are taken out of a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.network import ConceptScores, ScoredColumns
from editc.core.solution import Edit, Stats
from editc.numerics.ridge import require_finite
from editc.passes.methods import require_at_least_zero


@dataclass(frozen=True)
class ConceptVectors:
    """w_j -> (1 - scale) w_j for the columns j of an MLP's last matrix W that name the concept, no other is touched.

    Column j is what the layer writes where its activation j is on; E w_j, E the output embedding, says which words that
    raises. Its score is that of the concept's names, in standard deviations over the vocabulary (of a name's tokens the
    one that is named least counts). Activations of gated MLPs have both signs, so that columns count which lower the
    names as well as those which raise them.

    Published for models of 7B, with noise in one column that was looked at by eye. A small model has no column for one
    concept, and without the strongest ones it says the name more surely than before
    (docs/measurements/concept-vectors.md).

    count: how many columns at most, the strongest of all matrices that are edited, for each concept.
    threshold: the least |score| of a column; chance reaches 4 in 46,000 columns.
    scale: 1 takes a column out, less leaves a part of it.
    noise: above 0 the paper's edit: columns stay, with normal noise of this standard deviation, times scale, added
        (published: 0.1, for Llama 2 and OLMo of 7B; half of a SmolLM2 column's own).
    seed: of the noise; left out, the manifest's.
    """

    works_on: ClassVar[str] = "columns"
    solves: ClassVar[tuple[str, ...]] = ("erase",)
    single: ClassVar[bool] = False
    count: int = 10
    threshold: float = 5.0
    scale: float = 1.0
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least_zero(threshold=self.threshold, scale=self.scale, noise=self.noise, seed=self.seed)
        if self.count < 1:
            raise ValueError(f"`count` is {self.count}: it must be 1 or more")

    def __call__(self, columns: ScoredColumns) -> Edit:
        """A low-rank edit, exact, of as many ranks as columns are chosen, 0 if none is: left holds what is added to
        them, right (r, d_in) has a single 1 a row. A column of several concepts goes by the greatest strength.

        Raises NonFiniteError."""
        require_finite("the matrix", columns.weight)
        each = self.choose_columns(columns.naming)
        taken = np.flatnonzero(each.any(axis=0))
        strengths = np.where(each, columns.strengths[:, None], 0.0).max(axis=0, initial=0.0)[taken]
        left = self.scale * strengths * self._change_of(columns.weight[:, taken])
        right = np.zeros((len(taken), columns.weight.shape[1]))
        right[range(len(taken)), taken] = 1.0
        return Edit("low-rank", (left,), (right,), Stats(1.0, 0.0, len(taken)))

    def choose_columns(self, naming: ConceptScores) -> NDArray[np.bool_]:
        """Which columns (c, d_in) are taken for each concept; one with a score of 0 never is."""
        size = np.abs(naming.scores)
        return np.asarray((naming.ranks < self.count) & (size >= self.threshold) & (size > 0))

    def _change_of(self, taken: Array) -> Array:
        """What is added to columns (d_out, r) at strength 1. A column's noise depends on the seed and on itself alone,
        so that two matrices, or two manifests with other concepts beside it, draw the same for it."""
        if not self.noise:
            return -taken
        marks = [int.from_bytes(sha256(column.tobytes()).digest()[:8], "big") for column in taken.T]
        drawn = [np.random.default_rng((self.seed, mark)).normal(size=len(taken)) for mark in marks]
        return self.noise * np.array(drawn).reshape(len(drawn), len(taken)).T
