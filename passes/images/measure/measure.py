"""Measuring the edited sites one at a time: how far their outputs moved, on the weights exactly as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array, Site
from editc.core.ports import Progress
from editc.core.problem import System
from editc.core.site_bytes import recorded_dtypes
from editc.core.solution import Edit, Solution
from editc.numerics import drift
from editc.numerics.bits.dtypes import decode, encode, native_floats, sha256
from editc.numerics.bits.rounded import QuickSums
from editc.passes.images.measure.base_figures import base_figures, is_wide, moment_hash, weights_digest
from editc.passes.images.measure.certificate import SummedLayer
from editc.passes.images.measure.records import Recorder
from editc.passes.images.measure.row_sums import (
    Layer,
    RowColumns,
    condense_rows,
    target_misses,
)
from editc.passes.images.measure.start_squares import StartSquares
from editc.passes.images.measure.wide_rows import RoundedLayer, Rounding, Single, WideRows
from editc.passes.stored import RoundedSite, SiteWeights, edit_digest, factor, require_fit, round_site

BLOCK_ELEMENTS = 1 << 16
"""Elements of a layer that are compared at a time. Chosen by hand: half a megabyte in float64."""
Change: TypeAlias = tuple[float, int]
"""|W' - W| / |W|, and the number of stored elements that differ."""


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


Observe: TypeAlias = Callable[[str, SummedLayer], None]
"""Is called with the group of each layer, and the layer, before the next is read."""


def measure_sites(
    solution: Solution,
    progress: Progress | None = None,
    observe: Observe | None = None,
    recorder: Recorder | None = None,
) -> Iterator[SiteMeasurement]:
    """Measure each edited site in one pass over the weights, with one of them in memory at a time.

    `recorder` makes the record of each site on the way. Raises E503 where a site's dtype cannot hold an edited value.
    """
    for group, edit in solution.edits.items():
        system, sites = solution.problem.systems[group], solution.problem.plan.sites_of(group)
        measure = _measure_wide(system, edit) if is_wide(system) and edit.form == "shared" else None
        measure = measure or _measure_layers(system, edit, sum(site.shape[0] for site in sites))
        steps: Iterable[Any] = progress("verify", sites) if progress else sites
        for index, (site, W) in enumerate(zip(steps, system.weights, strict=True)):
            W = np.asarray(W)
            found, layer = measure(site, index, W, _edit_site(W, edit, index, site, system, recorder))
            yield found
            if observe is not None:
                observe(group, layer)


def _edit_site(W: Array, edit: Edit, index: int, site: Site, system: System, recorder: Recorder | None) -> RoundedSite:
    """Return W' (d_out, d_in), rounded. Raises E503 where a value does not fit the dtype."""
    keep, weights = is_wide(system), system.weights
    if isinstance(weights, SiteWeights):
        raw, digest = weights.stored(index), weights.site_digest(index)
    else:
        raw = encode(W, site.dtype)
        digest = sha256(raw)
    mark = edit_digest(edit, index) if recorder else ""
    known = recorder.known_results(site, digest, mark) if recorder else {}
    wanted = (site.dtype,) if known or recorder is None else recorded_dtypes(site)
    edited = round_site(W, edit, index, site, wanted, raw, keep)
    require_fit(edited.made[site.dtype].raw, W, site)
    if recorder is not None:
        results = {dtype: one.raw for dtype, one in edited.made.items()}
        recorder.add(site, W, digest, known or recorder.hash_results(site, digest, mark, results))
    return edited


Measure: TypeAlias = Callable[[Site, int, Array, RoundedSite], tuple[SiteMeasurement, SummedLayer]]
"""Measures a site from its number in the group, W and W'."""


def _measure_layers(system: System, edit: Edit, outputs: int) -> Measure:
    """Return the measure of layers that are not wide, or whose edits are not shared. `outputs`: all their rows."""
    left, right = _shared_factors(edit, system.preserved.moment.shape[0])
    lists = len(system.preserved.lists)
    rows = tuple(condense_rows(one, left, right, outputs) for one in _rows(system))

    def measure(site: Site, index: int, W: Array, edited: RoundedSite) -> tuple[SiteMeasurement, SummedLayer]:
        after = decode(edited.made[site.dtype].raw, site.dtype, W.shape)
        layer = _make_layer(W, after, edit, (left, right))
        found = np.array([one.squares(layer) for one in rows])
        return _measurement(site, found, lists, _change(W, after)), layer

    return measure


def _measure_wide(system: System, edit: Edit) -> Measure:
    """Return the measure of the wide layers of a shared edit."""
    left, right = factor(edit.left, 0), factor(edit.right, 0)
    lists, rows = len(system.preserved.lists), list(_rows(system))
    moments = system.preserved.moments
    known = base_figures(system, moments, system.cache).squares
    before = np.array([known[moment_hash(moment)] for moment in moments])
    offsets = [one.start for one in rows if one.start is not None]
    starts = StartSquares.of(offsets, len(system.weights), weights_digest(system), system.cache)
    wide = WideRows.of(rows, moments, before, left, right)

    def measure(site: Site, index: int, W: Array, edited: RoundedSite) -> tuple[SiteMeasurement, SummedLayer]:
        sums, after = edited.sums or _sums(W, left, right), edited.made[site.dtype].raw
        rest, change = _wide_rest(W, native_floats(after, site.dtype).reshape(W.shape), sums.value)
        singles = W.astype(np.float32)
        layer = RoundedLayer(W, rest, left, right, Rounding.of(singles, rest))
        found = wide.squares(index, layer, sums.factor, starts.at(index, W, singles))
        return _measurement(site, found, lists, change), layer

    return measure


def _sums(W: Array, left: Array, right: Array) -> QuickSums:
    """Return the sums of a shared edit of W (d_out, d_in)."""
    A = W @ left
    return QuickSums(A, W + A @ right)


def _wide_rest(W: Array, after: NDArray[np.floating], value: Array) -> tuple[Single, Change]:
    """Return what rounding added to a layer in float32, and how far the layer moved; some rows at a time.

    W, W' = `after` as stored, and `value`, which was rounded, are (d_out, d_in).
    """
    rest = np.empty(W.shape, np.float32)
    squares, elements, step = np.zeros(2), 0, max(1, BLOCK_ELEMENTS // W.shape[1])
    for start in range(0, len(W), step):
        part = slice(start, start + step)
        stored = after[part].astype(np.float64)
        rest[part] = stored - value[part]
        move = np.subtract(stored, W[part], out=stored)
        squares += [float(np.vdot(move, move)), float(np.vdot(W[part], W[part]))]
        elements += int(np.count_nonzero(move))
    return rest, (drift.ratio(*np.sqrt(squares).tolist()), elements)


def _change(W: Array, after: Array) -> Change:
    """Return how far a layer moved."""
    move = after - W
    return drift.ratio(_norm(move), _norm(W)), int(np.count_nonzero(move))


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


def _make_layer(W: Array, after: Array, edit: Edit, shared: tuple[Array, Array]) -> Layer:
    """Return the layer of W and W' = `after` (d_out, d_in both)."""
    if edit.form != "shared":
        return Layer.of_weights(W, after)
    left, right = shared
    return Layer(W, after - (W + (W @ left) @ right), left, right)


def _measurement(site: Site, found: Array, lists: int, change: Change) -> SiteMeasurement:
    """Return the measurement of one layer.

    `found` (sets, 2) has the sums of the preserved lists (`lists` of them), of the empty prompt, of each request.
    """
    default, *named, empty = (drift.ratio(*np.sqrt(one).tolist()) for one in found[: lists + 1])
    moved, elements = change
    return SiteMeasurement(
        site, default, max(named, default=0.0), empty, moved, elements, np.reshape(found[lists + 1 :], (-1, 2))
    )


def _norm(array: Array) -> float:
    """Return the Frobenius norm."""
    return float(np.linalg.norm(array))
