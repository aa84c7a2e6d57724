"""The method that solves the edits of an image model."""

from __future__ import annotations

from typing import Any

from editc.core.family import TEXT_ENCODER
from editc.core.manifest import Manifest
from editc.core.plan import Plan
from editc.passes.methods import Method
from editc.registry.options import construct

BLIND = frozenset({"certificate", "rece"})
"""Attacks that find rows for edited keys and values."""


def name_of_method(plan: Plan) -> str:
    """Return the name of the method that all edits of a manifest share: the manifest's, or the family's default."""
    return plan.manifest.method or plan.family.default_method


def method_of(plan: Plan) -> Method:
    """Make the method of a plan, with the options that the edits give."""
    found: Method = construct(name_of_method(plan), plan.manifest.options, plan.manifest.seed)
    return found


def part_of(manifest: Manifest) -> str:
    """Return the component that the method of the edits changes, where it is not the denoiser; else ''."""
    return getattr(class_of_method(manifest), "part", "")


def blind_attacks(manifest: Manifest) -> frozenset[str]:
    """Return the names of attacks that cannot see the edits: those that find rows for edited keys and values, where the
    text encoder is edited and keys and values stay as they are."""
    return BLIND if part_of(manifest) == TEXT_ENCODER else frozenset()


def class_of_method(manifest: Manifest) -> Any:
    """Return the class of the method that a manifest names. None where it names none, and for `fuse`, whose methods
    are in no table."""
    method = manifest.method
    if method is None or any(edit.kind == "fuse" for edit in manifest.image_edits):
        return None
    from editc.registry.methods import METHODS  # `editc check` of a manifest without a method needs none

    return METHODS.resolve(method)
