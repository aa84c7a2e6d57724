"""LEACE (Belrose et al., NeurIPS 2023, arXiv 2306.03819) on the matrices that write to the residual stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from editc.core.network import Writer
from editc.core.solution import Edit, Stats
from editc.numerics import directions
from editc.passes.methods import require_at_least_zero


@dataclass(frozen=True)
class LEACE:
    """D = -scale E W, E the least oblique projection after which no linear probe tells the two sets of prompts apart.
    Of several concepts it is one projection for all: a label each, 1 for the prompts that carry it, 0 for all others.

    The theorem's x - E (x - mean) has a bias, E mean, which layers without one cannot hold: it is left out, so means
    move along E too. E takes the covariance into account, where `ablate` takes the direction as it is.

    scale: 1 removes what a probe could use, less leaves a part of it.
    """

    works_on: ClassVar[str] = "writer"
    solves: ClassVar[tuple[str, ...]] = ("ablate",)
    single: ClassVar[bool] = False
    scale: float = 1.0

    def __post_init__(self) -> None:
        require_at_least_zero(scale=self.scale)

    def __call__(self, writer: Writer) -> Edit:
        """A low-rank edit of rank 1 a concept; raises SingularError (nothing tells the sets apart), NonFiniteError."""
        outputs = np.vstack([*writer.present, *writer.absent])
        carriers = np.repeat(np.arange(len(writer.present)), [len(one) for one in writer.present])
        labels = np.zeros((len(outputs), len(writer.present)))
        labels[np.arange(len(carriers)), carriers] = 1
        eraser = directions.leace(outputs, labels)
        left, right = -self.scale * eraser.left, eraser.right @ writer.weight
        return Edit("low-rank", (left,), (right,), Stats(1.0, 0.0, len(right)))
