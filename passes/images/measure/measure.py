"""One site at a time: the weight exactly as it will be stored, and how far its outputs moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from editc.core.delta import Array, Site
from editc.core.ports import Progress
from editc.core.problem import System
from editc.core.solution import Edit, Solution
from editc.numerics import drift
from editc.passes.images.measure.row_sums import (
    Layer,
    MeasuredRows,
    RowColumns,
    condense_rows,
    target_misses,
)
from editc.passes.stored import exact_weight, factor, rounded_weight


@dataclass(frozen=True)
class SiteMeasurement:
    """One site: how far the outputs of kept and empty rows moved, |W' - W| / |W|, how many stored elements differ, and
    for each request the weighted squares |W'C - WT|^2 and |WC - WT|^2: `errors` (requests, 2)."""

    site: Site
    default: float
    """Drift of the default list's prompts."""
    named: float
    """Drift of what the manifest preserves; 0 where it names nothing beside the default list."""
    unconditional: float
    change: float
    elements: int
    errors: Array

    @property
    def drift(self) -> float:
        """The larger drift of the two lists: neither hides the other."""
        return max(self.default, self.named)


def measure_sites(
    solution: Solution, progress: Progress | None = None, observe: Callable[[str, Layer], None] | None = None
) -> Iterator[SiteMeasurement]:
    """Each edited site, one weight in memory at a time; E503 at the first that its dtype cannot hold.

    `observe(group, layer)` sees each as it goes by.
    """
    for group, edit in solution.edits.items():
        system, sites = solution.problem.systems[group], solution.problem.plan.sites_of(group)
        left, right = _shared_factors(edit, system.kept.moment.shape[0])
        outputs = sum(site.shape[0] for site in sites)
        lists = len(system.kept.lists)
        rows = tuple(condense_rows(one, left, right, outputs) for one in _rows(system))
        steps: Iterable[Any] = progress("verify", sites) if progress else sites
        for index, (site, W) in enumerate(zip(steps, system.weights, strict=True)):
            layer, after = _edit_layer(np.asarray(W), edit, index, site, (left, right))
            yield _measure_layer(site, layer, after, rows, lists)
            if observe is not None:
                observe(group, layer)


def _rows(system: System) -> Iterator[RowColumns]:
    """What is measured: each kept list, the empty prompt's, then each request's, made one after the other."""
    yield from map(RowColumns, system.kept.lists)
    yield RowColumns(system.kept.empty)
    yield from map(target_misses, system.blocks)


def _shared_factors(edit: Edit, width: int) -> tuple[Array, Array]:
    """The factors, as stored, that all layers share; with no columns and rows where the edit is of another form."""
    if edit.form != "shared":
        return np.zeros((width, 0)), np.zeros((0, width))
    return factor(edit.left, 0), factor(edit.right, 0)


def _edit_layer(W: Array, edit: Edit, index: int, site: Site, shared: tuple[Array, Array]) -> tuple[Layer, Array]:
    """The layer and its W'."""
    exact = exact_weight(W, edit, index)
    after = rounded_weight(W, exact, site)
    return (Layer(W, after - exact, *shared) if edit.form == "shared" else Layer.of_weights(W, after)), after


def _measure_layer(site: Site, layer: Layer, after: Array, rows: Sequence[MeasuredRows], lists: int) -> SiteMeasurement:
    """`rows`: first those of so many kept `lists`, the empty prompt's, then those of the requests."""
    found, move = [one.squares(layer) for one in rows], after - layer.W
    default, *named, empty = (drift.ratio(*np.sqrt(one).tolist()) for one in found[: lists + 1])
    errors = found[lists + 1 :]
    return SiteMeasurement(
        site,
        default,
        max(named, default=0.0),
        empty,
        drift.ratio(_norm(move), _norm(layer.W)),
        int(np.count_nonzero(move)),
        np.array(errors).reshape(-1, 2),
    )


def _norm(array: Array) -> float:
    return float(np.linalg.norm(array))
