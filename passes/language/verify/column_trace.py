"""The parametric trace (ConceptVectors, arXiv 2406.11614): how far an edit moved the columns of its matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from editc.core.delta import Array
from editc.core.measurements import Claim
from editc.core.network import Network
from editc.numerics import logits

COLUMNS_PER_MATRIX, COLUMNS_IN_ALL = 5, 20
"""How many columns of one matrix, and of all matrices, have their tokens compared: those that moved the most. Chosen by
hand: each column costs a product with the output embedding."""


@dataclass(frozen=True)
class ColumnTrace:
    """How far an edit moved the columns of one matrix. Only columns that moved at all are counted."""

    columns: int
    """The number of columns that moved."""
    cosine: float
    """The lowest cosine between a column before and after; 0 for a column that was or became zero."""
    cosine_mean: float
    """The mean of these cosines."""
    distance: float
    """The largest |after - before| / |before|; a column that was zero has none."""
    distance_mean: float
    """The mean of these distances."""
    before: Array
    """The columns (d_out, n) with the largest distance, the largest first, n at most A_MATRIX. A column that was zero
    named nothing and is not among them."""
    after: Array
    """The same columns (d_out, n) after the edit."""


def measure_trace(before: Array, after: Array) -> ColumnTrace | None:
    """Compare the columns of W and W', (d_out, d_in) each. None if no column moved."""
    moved = (before != after).any(axis=0)
    if not moved.any():
        return None
    old, new = before[:, moved], after[:, moved]
    sizes, others = np.linalg.norm(old, axis=0), np.linalg.norm(new, axis=0)
    live = sizes > 0
    both = live & (others > 0)
    cosine = np.divide((old * new).sum(0), sizes * others, out=np.zeros(len(sizes)), where=both)
    distance = np.divide(np.linalg.norm(new - old, axis=0), sizes, out=np.zeros(len(sizes)), where=live)
    known = distance[live] if live.any() else distance
    figures = _lowest_cosine(cosine), float(cosine.mean()), float(known.max()), float(known.mean())
    most = np.argsort(-np.where(live, distance, -1.0), kind="stable")[: min(COLUMNS_PER_MATRIX, np.count_nonzero(live))]
    return ColumnTrace(int(moved.sum()), *figures, old[:, most], new[:, most])


def claims(traces: Sequence[tuple[str, ColumnTrace]]) -> tuple[Claim, ...]:
    """Claims about how far columns moved: the largest change, with the name of its matrix, and the mean over matrices.
    Nothing without traces.

    `traces`: the name of each edited matrix with its trace.
    """
    if not traces:
        return ()
    turned, moved = min(traces, key=lambda one: one[1].cosine), max(traces, key=lambda one: one[1].distance)
    cosines, distances = zip(*((one.cosine_mean, one.distance_mean) for _, one in traces), strict=True)
    return (
        Claim("trace_cosine", turned[1].cosine, subject=turned[0]),
        Claim("trace_cosine_mean", float(np.mean(cosines))),
        Claim("trace_distance", moved[1].distance, subject=moved[0]),
        Claim("trace_distance_mean", float(np.mean(distances))),
    )


def overlaps(traces: Sequence[tuple[str, ColumnTrace]], network: Network) -> tuple[Claim, ...]:
    """Claims about the tokens that columns raise most before and after the edit: their Jaccard index, the lowest with
    the name of its matrix and the mean, over the COLUMNS_IN_ALL columns that moved the most.

    A matrix that does not write to the residual stream is left out, because its columns raise no tokens. Nothing if no
    column is left.
    """
    embedding = network.embedding() if traces else np.zeros((0, 0))
    fitting = [(name, one) for name, one in traces if len(one.before) == embedding.shape[1]]
    names = np.repeat([name for name, _ in fitting], [one.before.shape[1] for _, one in fitting])
    if not len(names):
        return ()
    before = np.concatenate([one.before for _, one in fitting], axis=1)
    after = np.concatenate([one.after for _, one in fitting], axis=1)
    distance = np.linalg.norm(after - before, axis=0) / np.linalg.norm(before, axis=0)
    most = np.argsort(-distance, kind="stable")[:COLUMNS_IN_ALL]
    found = logits.compare_columns(embedding, before[:, most], after[:, most], np.ones(len(most))).overlap
    worst = int(found.argmin())
    return (
        Claim("trace_overlap", float(found[worst]), subject=str(names[most][worst]), unit="share"),
        Claim("trace_overlap_mean", float(found.mean()), unit="share"),
    )


def _lowest_cosine(values: Array) -> float:
    """The least of the cosines (n,), at most 1 whatever the rounding."""
    return float(min(values.min(), 1.0))
