"""Sums of squares over the outputs of one edited layer: column by column, or by (d, d) moments where that is less
work."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from editc.core.delta import Array
from editc.core.problem import Block
from editc.numerics.squares import half_gram, trace_of_product
from editc.numerics.subspace import condense


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer before and after an edit: the stored W' = W + (W left) right + rest."""

    W: Array
    """(d_out, d_in): the weight before the edit."""
    rest: Array
    """(d_out, d_in): for a shared edit the rounding of the stored weight; for other forms the whole change."""
    left: Array
    """(d_in, r): for a shared edit the left factor, the same for all layers; for other forms r = 0."""
    right: Array
    """(r, d_in): for a shared edit the right factor, the same for all layers; for other forms r = 0."""

    @staticmethod
    def of_weights(W: Array, after: Array) -> Layer:
        """Make a layer from W and W' = `after`, (d_out, d_in) both, for edits that are not shared."""
        width = W.shape[1]
        return Layer(W, after - W, np.zeros((width, 0)), np.zeros((0, width)))

    @cached_property
    def gram(self) -> Array:
        """W^T W (d_in, d_in); only the lower half is filled."""
        return half_gram(self.W)

    @cached_property
    def cross(self) -> Array:
        """W^T rest (d_in, d_in)."""
        return np.asarray(self.W.T @ self.rest)

    @cached_property
    def noise(self) -> Array:
        """rest^T rest (d_in, d_in); only the lower half is filled."""
        return half_gram(self.rest)

    def output_change(self, columns: Array) -> Array:
        """Return (W' - W) X, (d_out, k), for columns X (d_in, k)."""
        return np.asarray((self.W @ self.left) @ (self.right @ columns) + self.rest @ columns)


class MeasuredRows(Protocol):
    """Columns X (d_in, k) with offsets Y (d_in, k), for which squared outputs are summed.

    Without offsets (Y = 0) they measure drift. With Y = X - targets they measure how far the edited outputs W'X are
    from the wanted outputs W targets.
    """

    def squares(self, layer: Layer) -> tuple[float, float]:
        """Return |W Y + (W' - W) X|^2, and the same before the edit: |W Y|^2, or |W X|^2 without offsets."""


@dataclass(frozen=True, eq=False)
class RowColumns:
    """Columns with offsets as they are."""

    keys: Array
    """X (d_in, k)."""
    start: Array | None = None
    """Y (d_in, k): the offsets; None stands for zeros."""

    def squares(self, layer: Layer) -> tuple[float, float]:
        """See `MeasuredRows.squares`. Forms the outputs of every column."""
        before = layer.W @ (self.keys if self.start is None else self.start)
        move = layer.output_change(self.keys)
        return _square(move if self.start is None else before + move), _square(before)


@dataclass(frozen=True, eq=False)
class RowMoments:
    """Columns with offsets by their moments, for the layers of one shared edit M = left right.

    With F = Y + M X, the sum is |W F + rest X|^2. F is formed before it is squared, so that no digits are lost where
    the edit leaves almost nothing of Y.
    """

    fit: Array
    """F F^T (d_in, d_in)."""
    mixed: Array
    """F X^T (d_in, d_in)."""
    keys: Array
    """X X^T (d_in, d_in)."""
    before: Array
    """Y Y^T (d_in, d_in), or X X^T without offsets."""

    @staticmethod
    def of(rows: RowColumns, left: Array, right: Array) -> RowMoments:
        """Form the moments of `rows` for the edit left (d_in, r), right (r, d_in)."""
        X, Y = rows.keys, rows.start
        F = left @ (right @ X)
        if Y is not None:
            F += Y
        keys = X @ X.T
        return RowMoments(F @ F.T, F @ X.T, keys, keys if Y is None else Y @ Y.T)

    def squares(self, layer: Layer) -> tuple[float, float]:
        """See `MeasuredRows.squares`. Takes d_in^2 products, however many columns there were."""
        after = trace_of_product(layer.gram, self.fit) + 2 * float(np.vdot(layer.cross, self.mixed))
        return max(0.0, after + trace_of_product(layer.noise, self.keys)), trace_of_product(layer.gram, self.before)


def condense_rows(rows: RowColumns, left: Array, right: Array, outputs: int) -> MeasuredRows:
    """Put `rows` into the form that takes less work over all layers, which have `outputs` rows together.

    Moments are formed once and then serve every layer, so they pay where there are many columns and many outputs.
    Columns are condensed to at most d_in (2 d_in with offsets). left (d_in, r) and right (r, d_in) are the shared edit;
    r = 0 for other forms, which have no moments.
    """
    width, count = rows.keys.shape
    if left.shape[1] and count >= width and outputs > 2 * width:
        return RowMoments.of(rows, left, right)
    if rows.start is None:
        return RowColumns(condense(rows.keys))
    keys, start = np.vsplit(condense(np.vstack([rows.keys, rows.start])), 2)
    return RowColumns(keys, start)


def target_misses(block: Block) -> RowColumns:
    """Return a block's keys C with offsets C - T to their targets, each times the square root of its weight."""
    scale = np.sqrt(block.weights)
    return RowColumns(block.keys * scale, (block.keys - block.targets) * scale)


def _square(array: Array) -> float:
    """Return the sum of squares."""
    return float(np.linalg.norm(array)) ** 2
