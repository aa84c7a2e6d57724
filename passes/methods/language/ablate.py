"""Directional ablation (Arditi et al., NeurIPS 2024, arXiv 2406.11717): no matrix writes along a direction any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from editc.core.delta import Array
from editc.core.network import Writer
from editc.core.solution import Edit, Stats
from editc.numerics import directions
from editc.passes.methods import require_at_least_zero


@dataclass(frozen=True)
class Ablate:
    """D = -scale V V^T W, V the directions in which prompts that carry a concept differ from those that do not: an
    orthonormal basis of all concepts' together, so that none is left by taking out another that is not at right angles.

    projected: takes the part along the other prompts' mean out of the direction first. Raw differences of means destroy
        small models, whose residual stream has a few channels of enormous mean.
    count: how many directions a concept, at most as many as prompts carry it; from 2 on the leading ones of the
        carriers' states, less the others' mean.
    scale: 1 removes the direction, less leaves a part of it.
    norms: every row of W keeps its norm, which makes the edit dense.
    """

    works_on: ClassVar[str] = "writer"
    solves: ClassVar[tuple[str, ...]] = ("ablate",)
    single: ClassVar[bool] = False
    projected: bool = True
    count: int = 1
    scale: float = 1.0
    norms: bool = False

    def __post_init__(self) -> None:
        require_at_least_zero(scale=self.scale)
        if self.count < 1:
            raise ValueError(f"`count` is {self.count}: it must be 1 or more")

    def __call__(self, writer: Writer) -> Edit:
        """A low-rank edit of rank `count` a concept, dense with `norms`; raises SingularError (sets do not differ),
        ValueError (`count` is too many) and NonFiniteError."""
        V = self.basis(writer)
        if self.norms:
            change = directions.change_keeping_row_norms(writer.weight, V, self.scale)
            return Edit("dense", (change,), (), Stats(1.0, 0.0, min(change.shape)))
        return Edit("low-rank", (-self.scale * V,), (V.T @ writer.weight,), Stats(1.0, 0.0, V.shape[1]))

    def basis(self, writer: Writer) -> Array:
        """V (d_out, k), orthonormal, k at most `count` a concept."""
        return directions.joint_basis([self._one(*pair) for pair in zip(writer.present, writer.absent, strict=True)])

    def _one(self, present: Array, absent: Array) -> Array:
        if self.count > len(present):
            raise ValueError(f"`count` is {self.count}, and {len(present)} prompts carry the concept")
        if self.count > 1:
            return directions.subspace(present, absent, self.count, self.projected)
        return (directions.projected_difference if self.projected else directions.difference)(present, absent)
