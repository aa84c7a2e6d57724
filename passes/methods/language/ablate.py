"""Directional ablation (Arditi et al., NeurIPS 2024, arXiv 2406.11717): the edited matrices no longer write along a
concept's direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from editc.core.delta import Array
from editc.core.language_problem import Writer
from editc.core.solution import Edit, Stats
from editc.numerics import directions
from editc.passes.methods import require_at_least_zero, require_share


@dataclass(frozen=True)
class Ablate:
    """Remove the directions in which prompts with a concept differ from prompts without it.

    D = -scale V V^T W, with V an orthonormal basis of the directions of all concepts together. One basis for all is
    needed because removing one direction after another would leave parts of those that are not orthogonal.
    """

    works_on: ClassVar[str] = "writer"
    """What it is called with. A `Writer`: a matrix that writes to the residual stream."""
    solves: ClassVar[tuple[str, ...]] = ("ablate",)
    """The kinds of edits that may name it."""
    single: ClassVar[bool] = False
    """It edits the matrices of several layers."""
    projected: bool = True
    """True removes the part along the mean of the prompts without the concept from the direction first. Raw differences
    of means destroy small models, whose residual stream has a few channels of enormous mean."""
    count: int = 1
    """How many directions for each concept, at most as many as it has prompts. From 2 on they are the leading
    directions of the states with the concept, less the mean of those without it."""
    scale: float = 1.0
    """How much of the direction is removed: 1 removes all of it, less leaves a part."""
    norms: bool = False
    """True keeps the norm of every row of W, which makes the edit dense."""
    minor: float = 0.0
    """Above 0: take each direction only within the weakest principal components of both sets, which hold at most this
    share of their energy together; at most 1. Relearning mostly restores the strong components (arXiv 2605.11685). 0:
    the whole direction."""

    def __post_init__(self) -> None:
        require_at_least_zero(scale=self.scale, minor=self.minor)
        require_share(minor=self.minor)
        if self.count < 1:
            raise ValueError(f"`count` is {self.count}: it must be 1 or more")

    def __call__(self, writer: Writer) -> Edit:
        """A low-rank edit of rank `count` for each concept, or a dense one with `norms`. Raises SingularError if the
        two sets of prompts do not differ, ValueError if `count` is larger than a set, and NonFiniteError."""
        V = self.basis(writer)
        if self.norms:
            change = directions.change_keeping_row_norms(writer.weight, V, self.scale)
            return Edit("dense", (change,), (), Stats(1.0, 0.0, min(change.shape)))
        return Edit("low-rank", (-self.scale * V,), (V.T @ writer.weight,), Stats(1.0, 0.0, V.shape[1]))

    def basis(self, writer: Writer) -> Array:
        """V (d_out, k), orthonormal, with at most `count` columns for each concept."""
        return directions.joint_basis(
            [self._concept_directions(*pair) for pair in zip(writer.present, writer.absent, strict=True)]
        )

    def _concept_directions(self, present: Array, absent: Array) -> Array:
        """The directions (d_out, `count`) of one concept, from the states with it (n, d_out) and without it
        (n', d_out)."""
        if self.count > len(present):
            raise ValueError(f"`count` is {self.count}, and {len(present)} prompts carry the concept")
        if self.minor:
            basis = directions.minor_components(np.vstack([present, absent]), self.minor)
            present, absent = (one @ basis @ basis.T for one in (present, absent))
        if self.count > 1:
            return directions.subspace(present, absent, self.count, self.projected)
        return (directions.projected_difference if self.projected else directions.difference)(present, absent)
