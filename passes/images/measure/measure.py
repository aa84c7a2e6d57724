"""One site at a time: the weight exactly as it will be stored, and how far its outputs moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from editc.core.diagnostics import EditcError, fail
from editc.core.ir import Array, Edit, Site, Solution, System
from editc.core.ports import Progress
from editc.numerics import drift
from editc.numerics.bits.arithmetic import patched
from editc.numerics.bits.dtypes import rounded
from editc.passes.images.measure.row_sums import Columns, Layer, Rows, measured, missed


@dataclass(frozen=True)
class Measured:
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


@dataclass(frozen=True, eq=False)
class Stored(Mapping[str, Array]):
    """Parameter name -> edited weight, float64 of the stored values as the file orients it, made when asked for."""

    solution: Solution
    names: frozenset[str]

    def __getitem__(self, name: str) -> Array:
        if name not in self.names:
            raise KeyError(name)
        group, index, site = next(place for place in _places(self.solution) if place[2].name == name)
        W = np.asarray(self.solution.problem.systems[group].weights[index])
        after = stored(W, self.solution.edits[group], index, site)
        return after.T if site.transposed else after

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.names))

    def __len__(self) -> int:
        return len(self.names)


def measure(
    solution: Solution, progress: Progress | None = None, watch: Callable[[str, Layer], None] | None = None
) -> Iterator[Measured]:
    """Each edited site, one weight in memory at a time; E503 at the first that its dtype cannot hold.

    `watch(group, layer)` sees each as it goes by.
    """
    for group, edit in solution.edits.items():
        system, sites = solution.problem.systems[group], solution.problem.plan.sites_of(group)
        left, right = _shared(edit, system.kept.moment.shape[0])
        outputs = sum(site.shape[0] for site in sites)
        lists = len(system.kept.lists)
        rows = tuple(measured(one, left, right, outputs) for one in _rows(system))
        watched: Iterable[Any] = progress("verify", sites) if progress else sites
        for index, (site, W) in enumerate(zip(watched, system.weights, strict=True)):
            layer, after = _edited(np.asarray(W), edit, index, site, (left, right))
            yield _measured(site, layer, after, rows, lists)
            if watch is not None:
                watch(group, layer)


def stored(W: Array, edit: Edit, index: int, site: Site) -> Array:
    """W' (d_out, d_in) as float64 of the values that the file will hold.

    The factors of site `index` are rounded to the float32 of a delta, the sum runs in float64, and the result is
    rounded once to the site's dtype. E503 if a value is not finite there: 65520 and more do not fit into float16.
    """
    return _rounded(W, _exact(W, edit, index), site)


def _exact(W: Array, edit: Edit, index: int) -> Array:
    edit, index = edit.at(index)
    with np.errstate(over="ignore", invalid="ignore"):
        return patched(W, edit.form, _factor(edit.left, index), _factor(edit.right, index))


def _rounded(W: Array, exact: Array, site: Site) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        after = np.asarray(rounded(exact, site.dtype))
    if not np.isfinite(after).all():
        raise _not_finite(site, W, after)
    return after


def _rows(system: System) -> Iterator[Columns]:
    """What is measured: each kept list, the empty prompt's, then each request's, made one after the other."""
    yield from map(Columns, system.kept.lists)
    yield Columns(system.kept.empty)
    yield from map(missed, system.blocks)


def _shared(edit: Edit, width: int) -> tuple[Array, Array]:
    """The factors, as stored, that all layers share; with no columns and rows where the edit is of another form."""
    if edit.form != "shared":
        return np.zeros((width, 0)), np.zeros((0, width))
    return _factor(edit.left, 0), _factor(edit.right, 0)


def _edited(W: Array, edit: Edit, index: int, site: Site, shared: tuple[Array, Array]) -> tuple[Layer, Array]:
    """The layer and its W'."""
    exact = _exact(W, edit, index)
    after = _rounded(W, exact, site)
    return (Layer(W, after - exact, *shared) if edit.form == "shared" else Layer.changed(W, after)), after


def _places(solution: Solution) -> Iterator[tuple[str, int, Site]]:
    """Each edited site with its group and its index there."""
    for group in solution.edits:
        yield from ((group, index, site) for index, site in enumerate(solution.problem.plan.sites_of(group)))


def _factor(factors: Sequence[Array], index: int) -> Array:
    """The factor of a site: one alone serves all sites, and a dense edit has none on the right."""
    if not factors:
        return np.zeros((0, 0))
    return np.asarray(factors[index if len(factors) > 1 else 0], dtype=np.float32).astype(np.float64)


def _measured(site: Site, layer: Layer, after: Array, rows: Sequence[Rows], lists: int) -> Measured:
    """`rows`: first those of so many kept `lists`, the empty prompt's, then those of the requests."""
    found, move = [one.squares(layer) for one in rows], after - layer.W
    default, *named, empty = (drift.ratio(*np.sqrt(one).tolist()) for one in found[: lists + 1])
    errors = found[lists + 1 :]
    return Measured(
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


def _not_finite(site: Site, W: Array, after: Array) -> EditcError:
    if not np.isfinite(W).all():
        remedy = "the base itself is damaged: fetch it again, or leave this matrix out with `sites: {exclude: [...]}`"
        return fail("E503", f"{site.name} holds NaN or infinity before the edit", place=site.name, help=remedy)
    count = int(np.count_nonzero(~np.isfinite(after)))
    message = f"{count} of the {after.size} edited values of {site.name} do not fit into {site.dtype}"
    remedy = "raise the method's `lamb`, lower `strength`, or edit a base that is stored in BF16 or F32"
    return fail("E503", message, place=site.name, help=remedy)
