"""Systems with many columns, edits of every form on them, and what is measured of those by definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import systems

from editc.core.delta import Array, Site
from editc.core.plan import Plan
from editc.core.problem import CertificateInput, Problem, System
from editc.core.solution import Edit, Solution, Stats
from editc.numerics.ball import unbounded_ball
from editc.numerics.bits import dtypes
from editc.passes.methods.images.uce import UCE
from editc.passes.stored import stored_weight

WIDTH = systems.WIDTH


def many(seed: int, count: int = 60, strength: float = 1.0) -> System:
    """A system whose blocks have more columns than a key has numbers, weighted unequally."""
    made, rng = systems.system(seed, concepts=2, kept=40), np.random.default_rng(seed)
    blocks = tuple(systems.block(rng, f"concept {i}", count, strength) for i in range(2))
    return replace(made, blocks=tuple(replace(b, weights=rng.uniform(0.1, 2, count)) for b in blocks))


def edit(form: str, system: System) -> Edit:
    rng, stats = np.random.default_rng(7), Stats(1.0, 0.0, 3)
    if form == "shared":
        return UCE()(system)
    right = (0.1 * rng.normal(size=(3, WIDTH)),)
    if form == "low-rank":
        return Edit("low-rank", tuple(rng.normal(size=(len(W), 3)) for W in system.weights), right, stats)
    return Edit("dense", tuple(0.1 * rng.normal(size=W.shape) for W in system.weights), (), stats)


def solution(system: System, change: Edit, dtype: str) -> Solution:
    sites = tuple(
        Site("unet", f"{i}", (W.shape[0], W.shape[1]), dtype, "k")
        for i, W in enumerate(np.asarray(W) for W in system.weights)
    )
    plan = Plan(None, None, "", sites, {})  # type: ignore[arg-type]
    watched = replace(system, certificate_input=CertificateInput((), (unbounded_ball(WIDTH),)))
    cast = tuple(dtypes.round_to(np.asarray(W), dtype) for W in system.weights)
    return Solution(Problem(plan, {"text": replace(watched, weights=cast)}, "", ""), {"text": change}, (), ())


def by_definition(found: Solution) -> list[tuple[float, float, list[list[float]]]]:
    """Each site's two drifts and its errors, from W and W' alone."""
    system, lines = found.problem.systems["text"], []
    for index, site in enumerate(found.problem.plan.sites):
        W = np.asarray(system.weights[index])
        after = stored_weight(W, found.edits["text"], index, site)
        drift, empty = (
            _norm((after - W) @ rows) / _norm(W @ rows) for rows in (system.preserved.rows, system.preserved.empty)
        )
        errors = []
        for b in system.blocks:
            aim, root = W @ b.targets, np.sqrt(b.weights)
            errors.append([_norm((after @ b.keys - aim) * root) ** 2, _norm((W @ b.keys - aim) * root) ** 2])
        lines.append((drift, empty, errors))
    return lines


def _norm(array: Array) -> float:
    return float(np.linalg.norm(array))
