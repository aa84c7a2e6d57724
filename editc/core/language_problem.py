"""What the edits of a language model ask of its memories: between derive, solve and verify."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from editc.core.delta import Array
from editc.core.network import ConceptScores, LearnedValue, Spot
from editc.core.problem import Problem


@dataclass(frozen=True)
class MemoryKey:
    """One key of a memory: the subject of an edit, under one of its names, as several contexts show it."""

    edit: int
    """The number of the edit in the manifest."""
    name: str
    """The name that the key is taken at."""
    form: str
    """Plain text or chat: these make separate columns, because their keys lie far apart."""
    contexts: tuple[Spot, ...]
    """Where the key is read, as the mean over these. None of them has the subject, or the target of a redirection, at
    position 0, the attention sink."""
    residual: Array
    """(d,): what is to be added at the subject's last token at strength 1, to the output of the matrix or to the
    residual stream. Empty in a plan that is measured again."""
    anchor: tuple[Spot, ...] = ()
    """The other concept in the same contexts. Empty unless it is a redirection."""
    value: LearnedValue | None = None
    """How `wanted` was learned. None where no gradient was used."""
    sinks: int = 0
    """How many contexts were left out because of position 0."""


@dataclass(frozen=True)
class CloseEdits:
    """Two edits whose keys lie close to each other, so that they will interfere."""

    edits: tuple[int, int]
    """Their numbers in the manifest."""
    names: tuple[str, str]
    """The names that the two keys are taken at."""
    cosine: float
    """Cosine of the keys under C^-1, the metric of ordinary text."""


@dataclass(frozen=True)
class LanguageProblem(Problem):
    """A plan for a language model with what its methods need. `systems` is empty: no single least-squares problem
    covers all layers."""

    memory_keys: tuple[MemoryKey, ...] = ()
    """The keys of the edits that write to memories, in the order of the edits."""
    preserved: Mapping[int, tuple[tuple[Spot, ...], ...]] = field(default_factory=dict)
    """Edit -> where the model must say what it said: at the target of a redirection, at preserved names and where
    earlier edits wrote. The mean of each group is one key."""
    preserved_by_default: Mapping[int, tuple[tuple[Spot, ...], ...]] = field(default_factory=dict)
    """By edit the names that nobody named and that are held all the same, in groups as `kept`; those whose key is the
    edit's own are passed over."""
    concept_scores: Mapping[str, ConceptScores] = field(default_factory=dict)
    """Site name -> which of its columns name the concepts, for a stage that works on columns. Then every site of the
    plan has one."""
    moments: Mapping[str, Array] = field(default_factory=dict)
    """Site name -> (d_in, d_in): E[k k^T] over ordinary text, with its ridge."""
    close_edits: tuple[CloseEdits, ...] = ()
    """Pairs of edits that will interfere, the closest first."""
    overwritten: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Edit -> ids of earlier deltas that wrote at its own keys, which are not preserved there."""
    others: tuple[str, ...] = ()
    """Names that other deltas edit in the same weights, of a delta that is linked with them."""
