"""Take classes out of a head W x + b: `row`, `ablate` and `leace`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.numerics import directions
from editc.numerics.directions import Eraser

Labels: TypeAlias = NDArray[np.int64]
"""The numbers of classes."""
Mask: TypeAlias = NDArray[np.bool_]
"""Which examples are meant."""


@dataclass(frozen=True)
class Head:
    """The last layer of a classifier: its logits are W x + b."""

    weight: Array
    """(c, d): W, one row for each class."""
    bias: Array | None
    """(c,): b. None: the head has none."""

    def logits(self, features: Array) -> Array:
        """(n, c): the logits of features (n, d)."""
        found: Array = features @ self.weight.T
        return found if self.bias is None else found + self.bias


@dataclass(frozen=True)
class Examples:
    """What the head reads for some examples."""

    features: Array
    """(n, d): one row an example."""
    labels: Labels
    """(n,): the number of each example's class; -1 for an example of a class that is not erased, whichever."""

    def of(self, classes: Sequence[int]) -> Mask:
        """(n,): True for the examples of some classes."""
        found: Mask = np.isin(self.labels, classes)
        return found


@dataclass(frozen=True)
class HeadEdit:
    """The change of a head."""

    left: Array
    """(c, r): the left factor of W' - W."""
    right: Array
    """(r, d): the right factor."""
    bias: Array | None
    """(c,): b' - b. None where the head has no bias."""


def edit_head(head: Head, gone: Sequence[int], eraser: Eraser | None) -> HeadEdit:
    """Take the classes `gone` out of a head: first what `eraser` erases of its input, then their rows.

    A row becomes the mean of the rows of the classes that stay, and its bias the least of theirs. So its logit is at
    most the mean of their logits, and it is the answer to no input whatever. Raises ValueError where fewer than two
    classes stay: the mean of a single logit is that logit.
    """
    stay = np.setdiff1d(np.arange(len(head.weight)), gone)
    if len(stay) < 2:
        raise ValueError("fewer than two classes would stay")
    parts = [] if eraser is None else [(-head.weight @ eraser.left, eraser.right)]
    bias = None if head.bias is None else head.bias.copy()
    if eraser is not None and bias is not None:
        bias += head.weight @ eraser.left @ (eraser.right @ eraser.mean)
    for left, _ in parts:
        left[list(gone)] = left[stay].mean(axis=0)
    ones = np.zeros((len(head.weight), len(gone)))
    ones[list(gone), range(len(gone))] = 1.0
    parts.append((ones, head.weight[stay].mean(axis=0) - head.weight[list(gone)]))
    if bias is not None and head.bias is not None:
        bias[list(gone)] = bias[stay].min()
        bias = bias - head.bias
    return HeadEdit(np.hstack([left for left, _ in parts]), np.vstack([right for _, right in parts]), bias)


def erase_directions(examples: Examples, gone: Sequence[int]) -> Eraser:
    """`ablate`: x -> x - V V^T (x - m), V the directions from the mean m of the others to the mean of each class."""
    rest = examples.features[~examples.of(gone)]
    own = [examples.features[examples.of([one])] for one in gone]
    basis = directions.joint_basis([directions.difference(some, rest) for some in own])
    return Eraser(basis, basis.T, rest.mean(axis=0))


def erase_probes(examples: Examples, gone: Sequence[int]) -> Eraser:
    """`leace`: the least change after which no linear probe tells an example of a class from the others."""
    return directions.leace(examples.features, np.stack([examples.of([one]) for one in gone], axis=1).astype(float))


METHODS: Mapping[str, Callable[[Examples, Sequence[int]], Eraser] | None] = {
    "row": None,
    "ablate": erase_directions,
    "leace": erase_probes,
}
"""Name of a method -> what it erases of the head's input, from examples. None: nothing, and it needs no example."""
