"""The edited matrices of a language model exactly as they will be stored, and how far each is from its base."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from editc.core.ir import Array, Plan, Site, Solution
from editc.core.ports import Weights
from editc.numerics import drift
from editc.passes.images.measure.measure import stored


@dataclass(frozen=True)
class Changed:
    """One site after the edit: `after` is W' in float64 as the file orients it, `elements` of which differ from W, by
    `change` = |W' - W| / |W| together."""

    site: Site
    after: Array
    elements: int
    change: float


def upright(weights: Weights, site: Site) -> Array:
    """W (d_out, d_in) in float64, whichever way the file has it."""
    found = weights.read(site.name)
    return np.ascontiguousarray(found.T) if site.transposed else found


def changed(solution: Solution, weights: Weights) -> Iterator[Changed]:
    """Every edited site in the order of the groups. E503 where the site's dtype cannot hold a value."""
    for group, edit in solution.edits.items():
        for index, site in enumerate(sites_of(solution.problem.plan, group)):
            W = upright(weights, site)
            yield compared(site, W, stored(W, edit, index, site))


def compared(site: Site, W: Array, after: Array) -> Changed:
    """W and W' (d_out, d_in) as a Changed."""
    move = after - W
    change = drift.ratio(float(np.linalg.norm(move)), float(np.linalg.norm(W)))
    return Changed(site, oriented(site, after), int(np.count_nonzero(move)), change)


def oriented(site: Site, W: Array) -> Array:
    """W (d_out, d_in) as the file has it."""
    return np.ascontiguousarray(W.T) if site.transposed else W


def sites_of(plan: Plan, group: str) -> list[Site]:
    """The sites of one group, in the order of the plan: that of an edit's factors."""
    return [site for site in plan.sites if site.group == group]
