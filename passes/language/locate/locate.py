"""Locate, for language models: choose the matrices that each stage of a manifest edits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from editc.core.diagnostics import EditcError
from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.passes.language.locate import stages
from editc.passes.locate import (
    check_patterns,
    explain_choice,
    family_of,
    refuse_dtypes,
    roles_of,
)
from editc.passes.sites import sites_of


@dataclass(frozen=True)
class LocateLanguage:
    """The pass Manifest -> Plan: every stage with its sites."""

    families: Sequence[Family] = ()
    """The families that are tried if `Context.family` is None."""
    name: ClassVar[str] = "locate"
    """The pass's name, in progress and errors."""

    def __call__(self, manifest: Manifest, ctx: Context) -> Plan:
        """Raises E201, E202, E204, E206, E210 as the functions of `passes.locate` do, and what `stages.plan_stages`
        raises."""
        family = family_of(self.families, manifest, ctx)
        roles_of(manifest, family)
        every = tuple(sites_of(family, ctx.weights, tuple(family.patterns)))
        faults = tuple(check_patterns(manifest, every))
        if faults:
            raise EditcError(*faults)
        found = stages.plan_stages(manifest, family, every, ctx)
        chosen = {
            every[i].name: f"{one.method}, {explain_choice(family, every[i], 'output of the {}')}"
            for one in found
            for i in one.sites
        }
        plan = stages.drop_unused_sites(Plan(manifest, family, manifest.model, every, chosen, stages=found))
        refuse_dtypes(plan.sites)
        return plan
