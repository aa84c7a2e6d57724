"""Locate: which matrices an edit of an image model changes. Reads only headers, except for `sites: auto`."""

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
from editc.passes.images.edit_kind import edit_kind_of
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
    """The pass Manifest -> Plan.

    It takes every cross-attention projection of the wanted roles that `include` and `exclude` leave. With `sites: auto`
    these are candidates, and the fewest that carry the concepts are chosen; without a prober all of them stay.
    """

    families: Sequence[Family] = ()
    """The families to recognise the model by, where `Context.family` is None."""
    name: ClassVar[str] = "locate"
    """The name of the pass in progress output."""

    def __call__(self, manifest: Manifest, ctx: Context) -> Plan:
        """Return the plan.

        Raises E201 and E206 (no family, or one that is not edited), E202 (a pattern matches nothing), E203 (no site is
        left), E204 (a dtype that is not edited), E210 (an unknown role), and what `choose_sites` and `EditKind.locate`
        raise.
        """
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
    """Describe a matrix of a site's role, with `{}` in place of the role, for `explain_choice`."""
    return "cross-attention {} projection" if site.role in ("k", "v") else "{} projection"


def _none_left(manifest: Manifest, family: Family, found: int) -> Diagnostic:
    """Make the E203 of a manifest whose patterns drop all of the `found` sites."""
    span = manifest.sites.at("exclude") or manifest.sites.at("include") or manifest.sites.at("roles")
    return Diagnostic(
        "E203",
        f"no site is left: {found} of {family.title} have a chosen role, but `include` and `exclude` remove them all",
        span,
        manifest.source,
        help="widen `include`, narrow `exclude`, or name roles of " + ", ".join(family.patterns),
    )
