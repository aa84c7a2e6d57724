"""Leaks: how differently layers that are not edited respond to a concept and to its target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from editc.core.delta import Array, Site
from editc.core.manifest import Request
from editc.core.measurements import Claim
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.problem import Block
from editc.numerics.drift import ratio
from editc.passes.images.rows.inputs import TextStream, text_streams
from editc.passes.sites import sites_of

MakeBlock = Callable[[Request, Sequence[TextStream]], Block]
"""Makes the keys, targets and weights of a request from the streams that a group reads."""


def measure_leaks(plan: Plan, ctx: Context, make: MakeBlock) -> Iterator[Claim]:
    """Yield `leak` for each group of sites that the plan does not edit, and each request: |W c - W c*| / |W c*|.

    0: the group responds to the concept as to its target, so nothing leaks. About 1 or more: it tells them apart like
    two unrelated prompts. Norms are root mean squares over the group's layers and over the keys that would be edited
    there, with their weights.
    """
    edited = {site.group for site in plan.sites}
    for name, group in plan.family.groups.items():
        sites = [] if name in edited else list(sites_of(plan.family, ctx.weights, group.roles))
        found = text_streams(plan.family, name, ctx, sites[0].shape[1]) if sites else []
        if found:
            yield from _claims(plan, ctx, sites, [make(request, found) for request in plan.manifest.image_edits])


def _claims(plan: Plan, ctx: Context, sites: Sequence[Site], blocks: Sequence[Block]) -> Iterator[Claim]:
    """Yield the claim of each block, over all of the group's sites, each weight read once."""
    sizes = np.zeros((len(blocks), 2))
    for site in sites:
        W = ctx.weights.read(site.name)
        sizes += [
            [_weighted_square(W, b.keys - b.targets, b.weights), _weighted_square(W, b.targets, b.weights)]
            for b in blocks
        ]
    where = sites[0].name if len(sites) == 1 else f"{len(sites)} matrices like {sites[0].name}"
    for block, (apart, whole) in zip(blocks, np.sqrt(sizes), strict=True):
        yield Claim("leak", ratio(float(apart), float(whole)), subject=f"{block.request.concept}: {where}")


def _weighted_square(W: Array, columns: Array, weights: Array) -> float:
    """Return sum_j weights_j |W c_j|^2 over the columns c_j, (d_in, m) with weights (m,)."""
    return float(np.sum((W @ columns) ** 2 * weights))
