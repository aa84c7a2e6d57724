"""Locate: which matrices an edit of an image model changes, by the header alone unless evidence is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from editc.core.delta import Site
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.passes.images.keys.edit_kind import edit_kind_of
from editc.passes.locate import (
    check_patterns,
    explain_choice,
    family_of,
    is_wanted,
    refuse_dtypes,
    roles_of,
)
from editc.passes.sites import sites_of


@dataclass(frozen=True)
class Locate:
    """Manifest -> Plan: every cross-attention projection of a role asked for, less what include and exclude drop; with
    `sites: auto` and a prober the fewest of these that carry the concepts, without one these candidates."""

    families: Sequence[Family] = ()
    """Those that are tried where `Context.family` is not known yet."""
    name: ClassVar[str] = "locate"

    def __call__(self, manifest: Manifest, ctx: Context) -> Plan:
        """Raises E201 to E204, E206, E210, and what `choose_sites` and `Making.locate` raise."""
        family = family_of(self.families, manifest, ctx)
        if kind := edit_kind_of(manifest):
            plan = kind.locate(manifest, family, ctx)
            refuse_dtypes(plan.sites)
            return plan
        every = tuple(sites_of(family, ctx.weights, roles_of(manifest, family)))
        faults = tuple(check_patterns(manifest, every))
        sites = tuple(site for site in every if is_wanted(manifest, site))
        if faults:
            raise EditcError(*faults)
        if not sites:
            raise EditcError(_none_left(manifest, family, len(every)))
        refuse_dtypes(sites)
        plan = Plan(
            manifest, family, manifest.model, sites, {s.name: explain_choice(family, s, _what(s)) for s in sites}
        )
        if manifest.sites.auto is None or ctx.prober is None:
            return plan
        from editc.passes.images.locate.ranked_sites import choose_sites  # only here: it loads what derives keys

        return choose_sites(plan, ctx)


def _what(site: Site) -> str:
    return "cross-attention {} projection" if site.role in ("k", "v") else "{} projection"


def _none_left(manifest: Manifest, family: Family, found: int) -> Diagnostic:
    span = manifest.sites.at("exclude") or manifest.sites.at("include") or manifest.sites.at("roles")
    return Diagnostic(
        "E203",
        f"no site is left: {found} of {family.title} have a role asked for, and include and exclude drop them all",
        span,
        manifest.source,
        help="widen `include`, narrow `exclude`, or name roles of " + ", ".join(family.patterns),
    )
