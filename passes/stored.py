"""The edited weights exactly as a file will hold them, and how far each is from its base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from editc.core.delta import Array, Site
from editc.core.diagnostics import EditcError, fail
from editc.core.ports import Weights
from editc.core.solution import Edit, Solution
from editc.numerics import drift
from editc.numerics.bits.arithmetic import patch
from editc.numerics.bits.dtypes import round_to


@dataclass(frozen=True)
class SiteWeights(Sequence[Array]):
    """Each site's W (d_out, d_in) in float64, read when it is asked for and not kept."""

    source: Weights
    """The model's weights."""
    sites: Sequence[Site]
    """In the order of the group."""

    def __len__(self) -> int:
        return len(self.sites)

    def __getitem__(self, index: int) -> Array:  # type: ignore[override]
        return read_weight(self.source, self.sites[index])


@dataclass(frozen=True, eq=False)
class StoredWeights(Mapping[str, Array]):
    """Parameter name -> edited weight: float64 of the stored values, oriented as in the file. Each weight is computed
    when it is asked for."""

    solution: Solution
    """The solved edits."""
    names: frozenset[str]
    """The parameters that the mapping has."""

    def __getitem__(self, name: str) -> Array:
        if name not in self.names:
            raise KeyError(name)
        group, index, site = next(place for place in _places(self.solution) if place[2].name == name)
        W = np.asarray(self.solution.problem.systems[group].weights[index])
        after = stored_weight(W, self.solution.edits[group], index, site)
        return after.T if site.transposed else after

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.names))

    def __len__(self) -> int:
        return len(self.names)


def stored_weight(W: Array, edit: Edit, index: int, site: Site) -> Array:
    """W' (d_out, d_in) as float64 of the values that the file will hold.

    The factors of site `index` are rounded to the float32 of a delta, the sum runs in float64, and the result is
    rounded once to the site's dtype. E503 if a value is not finite there: 65520 and more do not fit into float16.
    """
    return rounded_weight(W, exact_weight(W, edit, index), site)


def exact_weight(W: Array, edit: Edit, index: int) -> Array:
    """W' (d_out, d_in) in float64, before it is rounded to the site's dtype."""
    edit, index = edit.at(index)
    with np.errstate(over="ignore", invalid="ignore"):
        return patch(W, edit.form, factor(edit.left, index), factor(edit.right, index))


def rounded_weight(W: Array, exact: Array, site: Site) -> Array:
    """`exact` (d_out, d_in) rounded to the site's dtype, as float64. E503 if a value is not finite there."""
    with np.errstate(over="ignore", invalid="ignore"):
        after = np.asarray(round_to(exact, site.dtype))
    if not np.isfinite(after).all():
        raise _not_finite(site, W, after)
    return after


@dataclass(frozen=True)
class EditedSite:
    """One site after the edit."""

    site: Site
    """The matrix."""
    after: Array
    """W' in float64, oriented as in the file."""
    elements: int
    """The number of stored elements that differ from W."""
    change: float
    """|W' - W| / |W|, Frobenius norms."""


def read_weight(weights: Weights, site: Site) -> Array:
    """W (d_out, d_in) in float64, whichever way the file has it."""
    found = weights.read(site.name)
    return np.ascontiguousarray(found.T) if site.transposed else found.reshape(site.shape)


def edited_sites(solution: Solution, weights: Weights) -> Iterator[EditedSite]:
    """Every edited site in the order of the groups. E503 where the site's dtype cannot hold a value."""
    for group, edit in solution.edits.items():
        for index, site in enumerate(solution.problem.plan.sites_of(group)):
            W = read_weight(weights, site)
            yield edited_site(site, W, stored_weight(W, edit, index, site))


def edited_site(site: Site, W: Array, after: Array) -> EditedSite:
    """W and W' (d_out, d_in) as a EditedSite."""
    move = after - W
    change = drift.ratio(float(np.linalg.norm(move)), float(np.linalg.norm(W)))
    return EditedSite(site, as_in_file(site, after), int(np.count_nonzero(move)), change)


def as_in_file(site: Site, W: Array) -> Array:
    """W (d_out, d_in) as the file has it."""
    return np.ascontiguousarray(W.T) if site.transposed else W


def _places(solution: Solution) -> Iterator[tuple[str, int, Site]]:
    """Each edited site with its group and its index there."""
    for group in solution.edits:
        yield from ((group, index, site) for index, site in enumerate(solution.problem.plan.sites_of(group)))


def factor(factors: Sequence[Array], index: int) -> Array:
    """The factor of a site: one alone serves all sites, and a dense edit has none on the right."""
    if not factors:
        return np.zeros((0, 0))
    return np.asarray(factors[index if len(factors) > 1 else 0], dtype=np.float32).astype(np.float64)


def _not_finite(site: Site, W: Array, after: Array) -> EditcError:
    if not np.isfinite(W).all():
        remedy = "the base itself is damaged: fetch it again, or leave this matrix out with `sites: {exclude: [...]}`"
        return fail("E503", f"{site.name} holds NaN or infinity before the edit", place=site.name, help=remedy)
    count = int(np.count_nonzero(~np.isfinite(after)))
    message = f"{count} of the {after.size} edited values of {site.name} do not fit into {site.dtype}"
    remedy = "raise the method's `lamb`, lower `strength`, or edit a base that is stored in BF16 or F32"
    return fail("E503", message, place=site.name, help=remedy)
