"""The edits that a training has come to: at each site the factors as a delta stores them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from editc.core.delta import Array, Site
from editc.core.problem import Problem
from editc.core.solution import Edit, Stats
from editc.passes.training.factors import Factors


def edits_of(problem: Problem, factors: Factors, start: Mapping[str, tuple[Array, Array]]) -> Mapping[str, Edit]:
    """Name of a group -> its edit: the start's factors beside the trained ones, these in half precision."""
    return {group: _edit(factors, start, problem.plan.sites_of(group)) for group in problem.systems}


def _edit(factors: Factors, start: Mapping[str, tuple[Array, Array]], sites: Sequence[Site]) -> Edit:
    left, right = [], []
    for site in sites:
        parts = [start[site.name]] if site.name in start else []
        if site.name in factors.pairs:
            parts.append(factors.rounded(site.name))
        left.append(np.hstack([one for one, _ in parts]))
        right.append(np.vstack([one for _, one in parts]))
    return Edit("low-rank", tuple(left), tuple(right), Stats(math.nan, math.nan, max(len(one) for one in right)))
