"""The method that solves the edits of an image model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from editc.core.family import TEXT_ENCODER
from editc.core.plan import Plan
from editc.registry.options import construct

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.methods import Method

BLIND = frozenset({"certificate", "rece"})
"""Attacks that find rows for edited keys and values."""


def name_of_method(plan: Plan) -> str:
    """Return the name of the method that all edits of a manifest share: the manifest's, or the family's default."""
    return plan.manifest.method or plan.family.default_method


def method_of(plan: Plan) -> Method:
    """Make the method of a plan, with the options that the edits give."""
    found: Method = construct(name_of_method(plan), plan.manifest.options, plan.manifest.seed)
    return found


def blind_attacks(part: str) -> frozenset[str]:
    """Return the names of attacks that cannot see the edits of a component: those that find rows for edited keys and
    values, where it is the text encoder and keys and values stay as they are."""
    return BLIND if part == TEXT_ENCODER else frozenset()
