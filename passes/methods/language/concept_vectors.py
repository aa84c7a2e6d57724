"""ConceptVectors (Hong et al., 2024, arXiv 2406.11614): remove the columns of a matrix that name a concept."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.language_problem import ConceptScores, ScoredColumns
from editc.core.solution import Edit, Stats
from editc.numerics.ridge import require_finite
from editc.passes.methods import require_at_least_zero


@dataclass(frozen=True)
class ConceptVectors:
    """Scale down the columns j of an MLP's last matrix W that name the concept: w_j -> (1 - scale) w_j. No other column
    changes.

    Column j is what the layer writes when its activation j is on, and E w_j, with E the output embedding, says which
    words it raises. A column's score says how much it raises the concept's names: their entries in E w_j, in standard
    deviations over the vocabulary; of a name's tokens the least one counts. Activations of gated MLPs have both signs,
    so columns that lower the names count as well as those that raise them.

    Published for models of 7B, with noise in one column that the authors chose by eye. A small model has no column for
    a single concept, and without the strongest columns it says the name even more surely
    (docs/measurements/concept-vectors.md).
    """

    works_on: ClassVar[str] = "columns"
    """What it is called with. A `ScoredColumns`: a matrix with scores of its columns."""
    solves: ClassVar[tuple[str, ...]] = ("erase",)
    """The kinds of edits that may name it."""
    leads: ClassVar[tuple[str, ...]] = ()
    """Where it can lead a concept: see `LeadsElsewhere`."""
    single: ClassVar[bool] = False
    """It edits the matrices of several layers."""
    count: int = 10
    """The most columns to remove for each concept: the strongest of all edited matrices."""
    threshold: float = 5.0
    """The least |score| of a column that is removed; among 46,000 columns chance reaches a score of 4."""
    scale: float = 1.0
    """How much of a column is removed: 1 removes all of it, less leaves a part."""
    noise: float = 0.0
    """Above 0, the paper's edit: the columns stay, and normal noise of this standard deviation, times `scale`, is added
    to them (published: 0.1 for Llama 2 and OLMo of 7B; in SmolLM2 that is half of a column's own deviation)."""
    seed: int = 0
    """Seed of the noise. Left out: the manifest's seed."""

    def __post_init__(self) -> None:
        require_at_least_zero(threshold=self.threshold, scale=self.scale, noise=self.noise, seed=self.seed)
        if self.count < 1:
            raise ValueError(f"`count` is {self.count}: it must be 1 or more")

    def __call__(self, columns: ScoredColumns) -> Edit:
        """An exact low-rank edit with one rank for each removed column, 0 if there is none. The left factor has what is
        added to the columns, each row of the right factor (r, d_in) a single 1. A column of several concepts takes the
        largest strength. Raises NonFiniteError."""
        require_finite("the matrix", columns.weight)
        each = self.choose_columns(columns.concept_scores)
        taken = np.flatnonzero(each.any(axis=0))
        strengths = np.where(each, columns.strengths[:, None], 0.0).max(axis=0, initial=0.0)[taken]
        left = self.scale * strengths * self._change_of(columns.weight[:, taken])
        right = np.zeros((len(taken), columns.weight.shape[1]))
        right[range(len(taken)), taken] = 1.0
        return Edit("low-rank", (left,), (right,), Stats(1.0, 0.0, len(taken)))

    def choose_columns(self, naming: ConceptScores) -> NDArray[np.bool_]:
        """Which columns are removed for each of c concepts, (c, d_in). A column with a score of 0 never is."""
        size = np.abs(naming.scores)
        return np.asarray((naming.ranks < self.count) & (size >= self.threshold) & (size > 0))

    def _change_of(self, taken: Array) -> Array:
        """What is added to the removed columns (d_out, r) at strength 1, (d_out, r). A column's noise depends only on
        the seed and on the column itself, so that the other edits of a manifest do not change it."""
        if not self.noise:
            return -taken
        marks = [int.from_bytes(sha256(column.tobytes()).digest()[:8], "big") for column in taken.T]
        drawn = [np.random.default_rng((self.seed, mark)).normal(size=len(taken)) for mark in marks]
        return self.noise * np.array(drawn).reshape(len(drawn), len(taken)).T
