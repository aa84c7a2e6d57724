"""Fusing trained adapters into the weights: their sites, what is preserved, and the joint low-rank change.

`spm`, plain fusion (SPM, Lyu et al., CVPR 2024, arXiv 2312.16145):  W' = W + sum_i strength_i scale_i up_i down_i.
`mace`, MACE's last stage (Lu et al., CVPR 2024, arXiv 2403.06135; `editc.numerics.fusion`): each adapter acts on the
rows of its own concept's prompts, and what is preserved stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from editc.core.delta import Array, Site
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.family import Family
from editc.core.manifest import Manifest, Request
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.problem import AdapterModule, PreservedRows, Problem, System
from editc.core.site_bytes import matrix_shape
from editc.core.solution import Edit, Solution, Stats
from editc.numerics import fusion
from editc.passes.images.keys.preserved import PreservedBuilder
from editc.passes.images.keys.rules.aligned import ALIGNED
from editc.passes.images.rows import piecewise, preserved_rows
from editc.passes.images.rows.inputs import TextStream, text_streams
from editc.passes.images.rows.phrases import fill_context
from editc.passes.stored import SiteWeights

ADAPTER_ROLE = "adapter"
"""The role of a site that does not read the text, and the first word of its group."""


@dataclass(frozen=True)
class Fuse:
    """The `EditKind` of `fuse`. Its sites are the matrices that adapters change; only `mace` solves a system."""

    def locate(self, manifest: Manifest, family: Family, ctx: Context) -> Plan:
        """Return the plan with every matrix that an adapter changes, in the order of the names.

        Raises E240 (drift has a bound, and no site reads the text) and E241 (`mace`, and a site does not read it).
        """
        names = sorted({name for adapter in ctx.adapters for name in adapter.modules})
        sites = tuple(_site(family, ctx, name) for name in names)
        others = [site.name for site in sites if site.role == ADAPTER_ROLE]
        if manifest.method == "mace" and others:
            raise EditcError(_no_text_input(manifest, others))
        if len(others) == len(sites):
            _refuse_drift(manifest)
        return Plan(manifest, family, manifest.model, sites, {site.name: _why(manifest, ctx, site) for site in sites})

    def derive(self, plan: Plan, ctx: Context, prompts: Sequence[str]) -> Problem:
        """Return the problem: what is preserved, and no blocks. Sites that do not read the text preserve nothing."""
        systems = {}
        for group in dict.fromkeys(site.group for site in plan.sites):
            sites = plan.sites_of(group)
            preserved, mean_square = _find_preserved(plan, ctx, sites, prompts)
            systems[group] = System((), preserved, SiteWeights(ctx.weights, sites), ALIGNED.ridge(mean_square))
        count = max(len(system.preserved.prompts) for system in systems.values())
        return Problem(plan, systems, _encoder_of(plan, ctx), f"{count} prompts")

    def solve(self, problem: Problem, ctx: Context) -> Solution:
        """Return the fused adapters as low-rank edits, with a left and a right factor for each site.

        Raises SingularError and NonFiniteError.
        """
        plan = problem.plan
        fuse = _fuse_mace if plan.manifest.method == "mace" else _fuse_plain
        edits = {group: fuse(problem, ctx, group) for group in problem.systems}
        strengths = tuple(float(request.strength) for request in plan.manifest.image_edits)
        return Solution(problem, edits, tuple(_records(plan, ctx)), strengths)


def _find_preserved(
    plan: Plan, ctx: Context, sites: Sequence[Site], default: Sequence[str]
) -> tuple[PreservedRows, float]:
    """Return what is preserved at the sites of one group, and the mean square of the entries of its rows (see
    `PreservedBuilder.build`).

    Both are empty (no rows, 0) where the sites do not read the text.
    """
    width = sites[0].shape[1]
    streams = _streams(plan, ctx, sites[0])
    if not streams:
        no_rows = np.zeros((width, 0))
        return PreservedRows(np.zeros((0, 0)), no_rows, no_rows, ()), 0.0
    prompts = preserved_rows.preserved_prompts(plan.manifest, plan.contexts(), default)
    return PreservedBuilder(plan, ALIGNED, streams, prompts, ctx.cache, ctx.progress).build(False)


def _encoder_of(plan: Plan, ctx: Context) -> str:
    """Return the fingerprint of the encoder that the edit depends on; '' for `spm`, which depends on none."""
    return ctx.encoder.fingerprint() if ctx.encoder and plan.manifest.method == "mace" else ""


def _fuse_plain(problem: Problem, ctx: Context, group: str) -> Edit:
    """Add up the adapters at each site of a group, each times its strength and scale."""
    found = [list(_adapters_at(problem.plan, ctx, site)) for site in problem.plan.sites_of(group)]
    return _stack_factors([[(gain * one.up, one.down) for _, one, gain in parts] for parts in found], 1.0, 0.0)


def _fuse_mace(problem: Problem, ctx: Context, group: str) -> Edit:
    """Solve MACE's joint problem for a group: the down factor of each adapter changes, the up factor stays."""
    sites, system = problem.plan.sites_of(group), problem.systems[group]
    streams = _streams(problem.plan, ctx, sites[0])
    moments = [_moment(problem.plan, request, streams, ctx) for request in problem.plan.manifest.image_edits]
    factor = fusion.normal_factor(moments, system.preserved.moment, system.ridge)
    layers: list[list[tuple[Array, Array]]] = []
    worst = 0.0
    for site in sites:
        layers.append([])
        for index, one, gain in _adapters_at(problem.plan, ctx, site):
            down, residual = fusion.fuse_down(one.down, moments[index], factor)
            layers[-1].append((gain * one.up, down))
            worst = max(worst, residual)
    return _stack_factors(layers, factor.condition, worst)


def _stack_factors(layers: Sequence[Sequence[tuple[Array, Array]]], condition: float, residual: float) -> Edit:
    """Join the (up, down) factors of each site to one left (d_out, r) and one right (r, d_in)."""
    left = tuple(np.hstack([up for up, _ in parts]) for parts in layers)
    right = tuple(np.vstack([down for _, down in parts]) for parts in layers)
    return Edit("low-rank", left, right, Stats(condition, residual, max(len(one) for one in right)))


def _adapters_at(plan: Plan, ctx: Context, site: Site) -> Iterator[tuple[int, AdapterModule, float]]:
    """Yield, for each adapter that changes the site: the index of its edit, its factors, and strength times scale."""
    for index, (request, adapter) in enumerate(zip(plan.manifest.image_edits, ctx.adapters, strict=True)):
        one = adapter.modules.get(site.name)
        if one is not None:
            yield index, one, float(request.strength) * one.scale


def _moment(plan: Plan, request: Request, streams: Sequence[TextStream], ctx: Context) -> Array:
    """Return K K^T / n (d, d) over all n rows of the concept's prompts: a mean, like the moment of preserved rows."""
    said = [fill_context(context, request.concept) for context in plan.contexts(request)]
    found = reduce(add, (piecewise.condense_prompts(said, one.encoder, ctx.cache, "all", one.mark) for one in streams))
    return np.asarray(found.outer_sum / found.row_count)


def _records(plan: Plan, ctx: Context) -> Iterator[Mapping[str, Any]]:
    """Yield the method and options of each edit, as the delta records them."""
    method = plan.manifest.method or "spm"
    for request, adapter in zip(plan.manifest.image_edits, ctx.adapters, strict=True):
        yield {"method": method, "options": {"adapter": request.adapter, "sha256": adapter.fingerprint}}


def _streams(plan: Plan, ctx: Context, site: Site) -> list[TextStream]:
    """Return the streams that a site reads; none for a site that does not read the text."""
    return [] if site.role == ADAPTER_ROLE else text_streams(plan.family, site.group, ctx, site.shape[1])


def _site(family: Family, ctx: Context, name: str) -> Site:
    """Describe one matrix that an adapter changes.

    Its role and group are the family's where a pattern matches its name. Other matrices have the role ADAPTER_ROLE, and
    one group for each width of their input.
    """
    rows, columns = matrix_shape(ctx.weights.shape(name))
    role = next((role for role, pattern in family.patterns.items() if fnmatchcase(name, pattern)), ADAPTER_ROLE)
    group = f"{ADAPTER_ROLE} {columns}" if role == ADAPTER_ROLE else family.group_of(role)
    return Site(family.component, name, (rows, columns), ctx.weights.dtype(name), role, group)


def _why(manifest: Manifest, ctx: Context, site: Site) -> str:
    """Say which adapters change a site."""
    pairs = zip(manifest.image_edits, ctx.adapters, strict=True)
    named = [request.adapter for request, adapter in pairs if site.name in adapter.modules]
    return f"changed by {', '.join(named)}"


def _refuse_drift(manifest: Manifest) -> None:
    """Raise E240 where drift has a bound."""
    for name in ("preserve_drift", "unconditional_drift"):
        if getattr(manifest.constraints, name) is not None:
            message = f"`{name}` cannot be measured: no matrix that these adapters change reads the text"
            help_ = "count on pictures instead, `verify: {images: {...}}`, or remove the bound"
            raise EditcError(Diagnostic("E240", message, manifest.constraints.at(name), manifest.source, help=help_))


def _no_text_input(manifest: Manifest, others: Sequence[str]) -> Diagnostic:
    """Make the E241 of sites, `others`, that do not read the text."""
    message = f"`method: mace` fuses matrices that read the text, and {len(others)} that the adapters change do not"
    notes = (*others[:8], *([f"and {len(others) - 8} more"] if len(others) > 8 else []))
    help_ = "use `method: spm`, which adds adapters of any matrices, or adapters of cross-attention alone"
    span = next(edit.at("method") for edit in manifest.image_edits if edit.method == "mace")
    return replace(Diagnostic("E241", message, span, manifest.source, help=help_), notes=notes)


FUSE = Fuse()
