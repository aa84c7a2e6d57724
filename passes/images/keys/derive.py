"""Derive: the pass that makes the problem of a plan, by the usual steps or by those of its kind of edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.problem import Problem
from editc.passes.images.edit_kind import edit_kind_of
from editc.passes.images.keys.derive_rows import DeriveRows


@dataclass(frozen=True)
class Derive:
    """The pass Plan -> Problem: keys, targets, weights and preserved rows of each group of sites."""

    prompts: Sequence[str] = ()
    """The default list of preserved prompts: the model's own, or everyday prompts and the words that it knows."""
    name: ClassVar[str] = "derive"
    """The name of the pass in progress output."""

    def __call__(self, plan: Plan, ctx: Context) -> Problem:
        """Return the problem to solve; errors are those of `DeriveRows`, or of the kind of edit."""
        if kind := edit_kind_of(plan.manifest):
            return kind.derive(plan, ctx, self.prompts)
        return DeriveRows(self.prompts)(plan, ctx)
