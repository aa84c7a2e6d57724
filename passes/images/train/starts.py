"""What a training starts from: a closed-form edit, and the inputs that no preserved prompt has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from editc.core.delta import Array, Site
from editc.core.problem import Problem
from editc.passes.images.solve.solver import RANK_TOLERANCE, Solver
from editc.registry.options import construct

FREE = 1e-6
"""A direction is free where the preserved rows have at most this share of their largest energy. Chosen by hand: rows
are float32, so smaller shares are rounding."""


def solve_start(problem: Problem, method: str) -> Mapping[str, tuple[Array, Array]]:
    """Parameter name -> factors (d_out, s) and (s, d_in) of the edit by a closed-form method with its defaults."""
    plan = problem.plan
    reading = {group: system for group, system in problem.systems.items() if system.blocks}
    edits = Solver(construct(method, {}, plan.manifest.seed), plan.manifest, RANK_TOLERANCE).solve_all(reading)
    found: dict[str, tuple[Array, Array]] = {}
    for group, edit in edits.items():
        for index, site in enumerate(plan.sites_of(group)):
            if edit.form == "shared":
                found[site.name] = np.asarray(reading[group].weights[index]) @ edit.left[0], edit.right[0]
            else:
                found[site.name] = edit.left[index], edit.right[index if len(edit.right) > 1 else 0]
    return found


def find_free(problem: Problem, sites: Sequence[Site]) -> Mapping[str, Array]:
    """Parameter name -> projector (d_in, d_in) onto the directions that no preserved row has, for the sites that read
    the text. What lies outside them moves no preserved output, whatever is trained."""
    found: dict[str, Array] = {}
    for group, system in problem.systems.items():
        if not system.preserved.empty.size:
            continue
        values, vectors = np.linalg.eigh(system.preserved.moment)
        free = vectors[:, values <= FREE * values[-1]]
        found |= {site.name: free @ free.T for site in sites if site.group == group}
    return found
