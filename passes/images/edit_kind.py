"""Kinds of edits with a locate, derive and solve of their own; the passes call these in place of the usual steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.ports import Context

if TYPE_CHECKING:  # `editc check` needs none of them
    from editc.core.plan import Plan
    from editc.core.problem import Problem
    from editc.core.solution import Solution


class EditKind(Protocol):
    """The three steps of one kind of edit that is not solved for rows of the text encoder."""

    def locate(self, manifest: Manifest, family: Family, ctx: Context) -> Plan:
        """Return the plan: the matrices that the edits change."""

    def derive(self, plan: Plan, ctx: Context, prompts: Sequence[str]) -> Problem:
        """Return the problem to solve. `prompts` is the default list of preserved prompts."""

    def solve(self, problem: Problem, ctx: Context) -> Solution:
        """Return the change of every group. Raises SingularError and NonFiniteError."""


EDIT_KINDS: Mapping[str, str] = {
    "fuse": "editc.passes.images.keys.fuse:FUSE",
    "train": "editc.passes.images.train.edit_kind:TRAIN",
}
"""Kind of edit -> `module:attribute` of its `EditKind`, imported only for a manifest with such an edit. A manifest with
one has no edits of other kinds. `train` is the kind of every edit by a method that is trained."""


def edit_kind_of(manifest: Manifest) -> EditKind | None:
    """Return the `EditKind` of a manifest's edits; None where they take the usual steps."""
    kind = next((edit.kind for edit in manifest.image_edits if edit.kind in EDIT_KINDS), "train")
    place = EDIT_KINDS[kind] if kind != "train" or is_trained(manifest) else None
    if place is None:
        return None
    module, _, attribute = place.partition(":")
    found: EditKind = getattr(import_module(module), attribute)
    return found


def is_trained(manifest: Manifest) -> bool:
    """True where the method of the edits is one that is trained. The methods of `fuse` are in no table."""
    return trains(class_of_method(manifest))


def trains(method: Any) -> bool:
    """True for the class of a method that is trained; False for a closed form, for any kind of model."""
    return getattr(method, "edit_kind", "") == "train"


def part_of(manifest: Manifest) -> str:
    """Return the component that the method of the edits changes, where it is not the denoiser; else ''."""
    return getattr(class_of_method(manifest), "part", "")


def class_of_method(manifest: Manifest) -> Any:
    """Return the class of the method that a manifest names. None where it names none, and for `fuse`, whose methods
    are in no table."""
    method = manifest.method
    if method is None or any(edit.kind == "fuse" for edit in manifest.image_edits):
        return None
    from editc.registry.methods import METHODS  # `editc check` of a manifest without a method needs none

    return METHODS.resolve(method)
