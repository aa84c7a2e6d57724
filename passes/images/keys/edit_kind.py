"""Kinds of edits that are made in a way of their own: what locate, derive and solve ask in place of doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol

from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.problem import Problem
from editc.core.solution import Solution


class EditKind(Protocol):
    """How edits of one kind are made, where that is not a solve for rows of the text."""

    def locate(self, manifest: Manifest, family: Family, ctx: Context) -> Plan:
        """The matrices that they change."""

    def derive(self, plan: Plan, ctx: Context, prompts: Sequence[str]) -> Problem:
        """What a solve needs; `prompts` are preserved by default."""

    def solve(self, problem: Problem, ctx: Context) -> Solution:
        """The change of every group. Raises SingularError, NonFiniteError."""


EDIT_KINDS: Mapping[str, str] = {"fuse": "editc.passes.images.keys.fuse:FUSE"}
"""Kind of edit -> `module:attribute` of how it is made, imported only where there is such an edit. Edits of such a kind
stand alone in a manifest."""


def edit_kind_of(manifest: Manifest) -> EditKind | None:
    """How the edits of a manifest are made; None where they are solved for rows of the text."""
    place = next((EDIT_KINDS[edit.kind] for edit in manifest.image_edits if edit.kind in EDIT_KINDS), None)
    if place is None:
        return None
    module, _, attribute = place.partition(":")
    found: EditKind = getattr(import_module(module), attribute)
    return found
