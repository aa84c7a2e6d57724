"""The method that solves the edits of an image model."""

from __future__ import annotations

from editc.core.plan import Plan
from editc.passes.methods import Method
from editc.registry.options import construct


def name_of_method(plan: Plan) -> str:
    """Return the name of the method that all edits of a manifest share: the manifest's, or the family's default."""
    return plan.manifest.method or plan.family.default_method


def method_of(plan: Plan) -> Method:
    """Make the method of a plan, with the options that the edits give."""
    found: Method = construct(name_of_method(plan), plan.manifest.options, plan.manifest.seed)
    return found
