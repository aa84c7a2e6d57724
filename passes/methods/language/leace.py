"""LEACE (Belrose et al., NeurIPS 2023, arXiv 2306.03819) on the matrices that write to the residual stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from editc.core.language_problem import Writer
from editc.core.solution import Edit, Stats
from editc.numerics import directions
from editc.passes.methods import require_at_least_zero, require_share


@dataclass(frozen=True)
class LEACE:
    """Remove what a linear probe could use to distinguish prompts with a concept from prompts without it.

    D = -scale E W, with E the oblique projection that changes the states least and after which no linear probe
    distinguishes the two sets. Several concepts have one projection, with one label for each concept: 1 for the prompts
    with it, 0 for all others.

    The theorem's map x - E (x - mean) has a bias, E mean. A layer without a bias cannot hold it, so it is left out, and
    the means move along E too. E takes the covariance of the states into account, while `ablate` removes the direction
    itself.
    """

    works_on: ClassVar[str] = "writer"
    """What it is called with. A `Writer`: a matrix that writes to the residual stream."""
    solves: ClassVar[tuple[str, ...]] = ("ablate",)
    """The kinds of edits that may name it."""
    single: ClassVar[bool] = False
    """It edits the matrices of several layers."""
    scale: float = 1.0
    """How much is removed: 1 removes all that a probe could use, less leaves a part."""

    minor: float = 0.0
    """Above 0: take out only what a probe could use within the weakest principal components, which hold at most this
    share of the states' energy together, as in `ablate`; at most 1. 0: all of it."""

    def __post_init__(self) -> None:
        require_at_least_zero(scale=self.scale, minor=self.minor)
        require_share(minor=self.minor)

    def __call__(self, writer: Writer) -> Edit:
        """A low-rank edit of rank 1 for each concept. Raises SingularError if the two sets of prompts do not differ,
        NonFiniteError."""
        outputs = np.vstack([*writer.present, *writer.absent])
        carriers = np.repeat(np.arange(len(writer.present)), [len(one) for one in writer.present])
        labels = np.zeros((len(outputs), len(writer.present)))
        labels[np.arange(len(carriers)), carriers] = 1
        basis = directions.minor_components(outputs, self.minor) if self.minor else np.eye(outputs.shape[1])
        eraser = directions.leace(outputs @ basis, labels)
        left, right = -self.scale * basis @ eraser.left, eraser.right @ basis.T @ writer.weight
        return Edit("low-rank", (left,), (right,), Stats(1.0, 0.0, len(right)))
