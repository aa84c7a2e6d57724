"""Measuring the edited sites one at a time: how far their outputs moved, on the weights exactly as they are stored."""

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
from editc.passes.stored import factor, stored_weight


@dataclass(frozen=True)
class SiteMeasurement:
    """What was measured at one site. A drift is |(W' - W) X| / |W X| over the rows X of a list."""

    site: Site
    """The matrix."""
    default: float
    """Drift of the default list, or of what is named where there is no default list."""
    named: float
    """Drift of what the manifest names beside the default list; 0 where it names nothing beside it."""
    unconditional: float
    """Drift of the rows of the empty prompt."""
    change: float
    """|W' - W| / |W|, Frobenius norms."""
    elements: int
    """The number of stored elements that differ."""
    errors: Array
    """(requests, 2): for each request the weighted sums |W'C - WT|^2 and |WC - WT|^2 over its keys C and targets T."""

    @property
    def drift(self) -> float:
        """The larger drift of the two lists."""
        return max(self.default, self.named)


def measure_sites(
    solution: Solution, progress: Progress | None = None, observe: Callable[[str, Layer], None] | None = None
) -> Iterator[SiteMeasurement]:
    """Measure each edited site, with one weight in memory at a time.

    `observe(group, layer)` is called with each layer before the next is read. Raises E503 where a site's dtype cannot
    hold an edited value.
    """
    for group, edit in solution.edits.items():
        system, sites = solution.problem.systems[group], solution.problem.plan.sites_of(group)
        left, right = _shared_factors(edit, system.preserved.moment.shape[0])
        outputs = sum(site.shape[0] for site in sites)
        lists = len(system.preserved.lists)
        rows = tuple(condense_rows(one, left, right, outputs) for one in _rows(system))
        steps: Iterable[Any] = progress("verify", sites) if progress else sites
        for index, (site, W) in enumerate(zip(steps, system.weights, strict=True)):
            layer, after = _edit_layer(np.asarray(W), edit, index, site, (left, right))
            yield _measure_layer(site, layer, after, rows, lists)
            if observe is not None:
                observe(group, layer)


def _rows(system: System) -> Iterator[RowColumns]:
    """Yield the rows to measure, made one after the other: each preserved list, the empty prompt, each request."""
    yield from map(RowColumns, system.preserved.lists)
    yield RowColumns(system.preserved.empty)
    yield from map(target_misses, system.blocks)


def _shared_factors(edit: Edit, width: int) -> tuple[Array, Array]:
    """Return the stored factors (width, r) and (r, width) of a shared edit; r = 0 for an edit of another form."""
    if edit.form != "shared":
        return np.zeros((width, 0)), np.zeros((0, width))
    return factor(edit.left, 0), factor(edit.right, 0)


def _edit_layer(W: Array, edit: Edit, index: int, site: Site, shared: tuple[Array, Array]) -> tuple[Layer, Array]:
    """Return the layer, and its W' (d_out, d_in) as stored. Raises E503 where a value does not fit the dtype."""
    after = stored_weight(W, edit, index, site)
    if edit.form != "shared":
        return Layer.of_weights(W, after), after
    left, right = shared
    return Layer(W, after - (W + (W @ left) @ right), left, right), after


def _measure_layer(site: Site, layer: Layer, after: Array, rows: Sequence[MeasuredRows], lists: int) -> SiteMeasurement:
    """Measure one layer.

    `rows` has those of the preserved lists (`lists` of them), of the empty prompt, of each request.
    """
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
    """Return the Frobenius norm."""
    return float(np.linalg.norm(array))
