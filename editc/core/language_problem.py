"""What the edits of a language model ask of its matrices, and what methods are given of one matrix at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.network import LearnedValue
from editc.core.problem import Problem
from editc.core.prompts import Cloze, Spot


@dataclass(frozen=True)
class MemoryKey:
    """One key of an edit: the state at its subject, under one of its names, as the mean over several contexts."""

    edit: int
    """The number of the edit in the manifest."""
    name: str
    """The name of the subject at which the key is read."""
    form: str
    """`plain` text or `chat`. The two give separate keys, because they lie far apart."""
    contexts: tuple[Spot, ...]
    """Where the key is read: the mean over these spots. In none of them does the subject, or the target of a
    redirection, stand at position 0, the attention sink."""
    residual: Array
    """(d,): what is to be added at the subject's last token at strength 1, to the output of the MLP or to the residual
    stream. Empty where verify derives the problem again, because it needs the spots alone."""
    anchor: tuple[Spot, ...] = ()
    """Redirections: the other concept in the same contexts. Empty for other edits."""
    value: LearnedValue | None = None
    """How `residual` was learned. None where no gradient was used."""
    sinks: int = 0
    """How many contexts were left out because of position 0."""


@dataclass(frozen=True)
class EarlierEdits:
    """What a delta that is in the model already asks of the edits after it."""

    keys: tuple[tuple[Spot, ...], ...]
    """Groups of positions where its edits read their keys. The mean over each group is one key, whose output must
    stay."""
    asked: tuple[Cloze, ...] = ()
    """The prompts of its facts with their answers."""


@dataclass(frozen=True)
class CloseEdits:
    """Two edits whose keys lie so close to each other that the edits interfere."""

    edits: tuple[int, int]
    """Their numbers in the manifest."""
    names: tuple[str, str]
    """The names at which the two keys are read."""
    cosine: float
    """The cosine of the keys in the metric C^-1, where C is the second moment of ordinary text."""


@dataclass(frozen=True)
class LanguageProblem(Problem):
    """A plan for a language model with what its methods need. `systems` is empty, because no single least-squares
    problem covers all layers."""

    memory_keys: tuple[MemoryKey, ...] = ()
    """The keys of the edits that write to memories, in the order of the edits."""
    preserved: Mapping[int, tuple[tuple[Spot, ...], ...]] = field(default_factory=dict)
    """Number of an edit -> groups of spots where the outputs must stay: at the target of a redirection, at preserved
    names, and where earlier edits wrote. The mean over each group is one key."""
    preserved_by_default: Mapping[int, tuple[tuple[Spot, ...], ...]] = field(default_factory=dict)
    """Number of an edit -> groups of spots at names that the manifest does not name and that are preserved too. A group
    whose key is the edit's own key is not preserved."""
    concept_scores: Mapping[str, ConceptScores] = field(default_factory=dict)
    """Name of a site -> which of its columns name the concepts. Filled for a stage that edits columns; then every site
    of the plan has one."""
    moments: Mapping[str, Array] = field(default_factory=dict)
    """Name of a site -> (d_in, d_in): E[k k^T] over ordinary text, with its ridge."""
    close_edits: tuple[CloseEdits, ...] = ()
    """Pairs of edits that will interfere, the closest first."""
    overwritten: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Number of an edit -> ids of earlier deltas that wrote at its own keys. These keys are not preserved."""
    others: tuple[str, ...] = ()
    """For a delta that is being linked: names that the other deltas edit in the same weights."""


@dataclass(frozen=True)
class Memory:
    """One matrix W (d_out, d_in) of a language model as a linear memory, with the changes that it is to take up. m is
    the number of keys."""

    keys: Array
    """(d_in, m): what the matrix reads at each edit's subject, the mean over contexts."""
    bare: Array
    """(d_in, m): the same in the prompt as it stands, without contexts."""
    residuals: Array
    """(d_out, m): what is to be added to its output there."""
    moment: Array
    """(d_in, d_in): E[k k^T] over ordinary text, not centred, with its ridge."""
    preserved: Array
    """(d_in, p): keys whose outputs must stay: those of earlier edits, of the target of a redirection, of preserved
    names."""
    weight: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """W (d_out, d_in) as it is now. Empty where only a method that does not read it is called."""

    def weighted_moment(self) -> Array:
        """C + K K^T, (d_in, d_in): the moment C, as if each preserved key in K were read as often as all ordinary text
        together."""
        return np.asarray(self.moment + self.preserved @ self.preserved.T)


@dataclass(frozen=True)
class AnswerGradients:
    """One matrix W (d_out, d_in) at the t tokens that stand before those of the answers, which are to become likely."""

    keys: Array
    """(d_in, t): what the matrix reads there."""
    gradients: Array
    """(d_out, t): the gradient of the answers' negative log-likelihood by the matrix's output there."""
    earlier_keys: Array
    """(d_in, s): the same of the facts of earlier deltas, in the model as it is now."""
    earlier_gradients: Array
    """(d_out, s): their gradients."""
    strengths: Array
    """(t,): how much of the fact that each token belongs to is to be made, 1 for all of it."""


@dataclass(frozen=True)
class KeyStates:
    """The residual stream at a concept's keys, from which a method makes the value of each key."""

    here: Array
    """(d,): at one key."""
    own: Array
    """(d, n): at every key of the concept."""
    unknown: Array
    """(d, k): at the same places of the same sentences with invented names, which no model knows."""
    seed: int
    """The manifest's seed."""


@dataclass(frozen=True)
class Writer:
    """One matrix that writes to the residual stream, and that stream at prompts with and without each concept."""

    weight: Array
    """W (d_out, d_in)."""
    present: tuple[Array, ...]
    """For each concept: (n, d_out), the residual stream after the matrix's layer at the last tokens of prompts with
    it."""
    absent: tuple[Array, ...]
    """For each concept: (n', d_out), the same at prompts without it."""


@dataclass(frozen=True)
class ConceptScores:
    """How far each column of a matrix (d_out, d_in) names each of c concepts, by what the column adds to the logits of
    their words."""

    scores: Array
    """(c, d_in): in standard deviations of all the words' logits, with the sign."""
    ranks: NDArray[np.int64]
    """(c, d_in): the position of the column by |score| among the columns of all matrices that are edited together. 0 is
    the first."""


@dataclass(frozen=True)
class ScoredColumns:
    """One matrix whose columns name c concepts, which are to be taken out."""

    weight: Array
    """W (d_out, d_in)."""
    concept_scores: ConceptScores
    """How far each column names each concept."""
    strengths: Array
    """(c,): how much of each concept is taken out, 1 for all of it."""
