"""The parametric trace (ConceptVectors, arXiv 2406.11614): what an edit left of the columns of its matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from editc.findings import Claim
from editc.ir import Array


@dataclass(frozen=True)
class Trace:
    """Of the `columns` of one matrix that moved at all: the cosine between before and after, and |after - before| /
    |before|, each of the column that moved the most and the mean. A column that was or became zero has cosine 0."""

    columns: int
    cosine: float
    cosine_mean: float
    distance: float
    distance_mean: float


def trace(before: Array, after: Array) -> Trace | None:
    """Of W and W', (d_out, d_in) each; None where no column moved."""
    moved = (before != after).any(axis=0)
    if not moved.any():
        return None
    old, new = before[:, moved], after[:, moved]
    sizes, others = np.linalg.norm(old, axis=0), np.linalg.norm(new, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.nan_to_num((old * new).sum(0) / (sizes * others))
        distance = np.linalg.norm(new - old, axis=0) / sizes
    return Trace(int(moved.sum()), _low(cosine), float(cosine.mean()), float(distance.max()), float(distance.mean()))


def claims(traces: Sequence[tuple[str, Trace]]) -> tuple[Claim, ...]:
    """Of every edited matrix, named: the column that moved the most, with its matrix, and means over matrices."""
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


def _low(values: Array) -> float:
    return float(min(values.min(), 1.0))
