"""One edited layer, and sums of squares over its outputs: column by column, or by d x d moments where that is less."""

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
    """One layer before and after an edit: W' = W + (W left) right + rest, as it is stored."""

    W: Array
    """(d_out, d_in) before the edit."""
    rest: Array
    """(d_out, d_in): of a shared edit what rounding did, of another one the whole change."""
    left: Array
    """(d_in, r): of a shared edit the factor of all layers; of another one r = 0."""
    right: Array
    """(r, d_in), likewise."""

    @staticmethod
    def of_weights(W: Array, after: Array) -> Layer:
        """The layer of which no more is known than W and W', (d_out, d_in) both."""
        width = W.shape[1]
        return Layer(W, after - W, np.zeros((width, 0)), np.zeros((0, width)))

    @cached_property
    def gram(self) -> Array:
        """W^T W (d_in, d_in), its lower half."""
        return half_gram(self.W)

    @cached_property
    def cross(self) -> Array:
        """W^T rest (d_in, d_in)."""
        return np.asarray(self.W.T @ self.rest)

    @cached_property
    def noise(self) -> Array:
        """rest^T rest (d_in, d_in), its lower half."""
        return half_gram(self.rest)

    def output_change(self, columns: Array) -> Array:
        """(W' - W) X, (d_out, k), of columns X (d_in, k)."""
        return np.asarray((self.W @ self.left) @ (self.right @ columns) + self.rest @ columns)


class MeasuredRows(Protocol):
    """Columns X (d_in, k), and where they start from, Y (d_in, k) or zeros."""

    def squares(self, layer: Layer) -> tuple[float, float]:
        """|W Y + (W' - W) X|^2, and before the edit |W Y|^2, or |W X|^2 where Y is zeros."""


@dataclass(frozen=True, eq=False)
class RowColumns:
    """Rows of prompts as they are, a column each."""

    keys: Array
    """X (d_in, k)."""
    start: Array | None = None
    """Y (d_in, k), where each starts from; None stands for zeros."""

    def squares(self, layer: Layer) -> tuple[float, float]:
        """By three products with the layer, two of them of full width."""
        before = layer.W @ (self.keys if self.start is None else self.start)
        move = layer.output_change(self.keys)
        return _square(move if self.start is None else before + move), _square(before)


@dataclass(frozen=True, eq=False)
class RowMoments:
    """The same for the layers of one shared edit M = left right: with F = Y + M X, what is measured is |W F + rest X|.

    `fit` F F^T, `mixed` F X^T, `keys` X X^T, `before` Y Y^T (or X X^T), (d_in, d_in) each. F is formed before it is
    squared, so an edit that leaves next to nothing keeps its digits.
    """

    fit: Array
    mixed: Array
    keys: Array
    before: Array

    @staticmethod
    def of(rows: RowColumns, left: Array, right: Array) -> RowMoments:
        """The moments of `rows` under the edit."""
        X, Y = rows.keys, rows.start
        F = left @ (right @ X)
        if Y is not None:
            F += Y
        keys = X @ X.T
        return RowMoments(F @ F.T, F @ X.T, keys, keys if Y is None else Y @ Y.T)

    def squares(self, layer: Layer) -> tuple[float, float]:
        """By sums over d_in^2 products, whatever the number of rows."""
        after = trace_of_product(layer.gram, self.fit) + 2 * float(np.vdot(layer.cross, self.mixed))
        return max(0.0, after + trace_of_product(layer.noise, self.keys)), trace_of_product(layer.gram, self.before)


def condense_rows(rows: RowColumns, left: Array, right: Array, outputs: int) -> MeasuredRows:
    """`rows` in the form that takes less work over layers of `outputs` rows together, left (d_in, r) and right.

    Moments are squared once and then serve every layer: they pay where there are many rows and many outputs.
    """
    width, count = rows.keys.shape
    if left.shape[1] and count >= width and outputs > 2 * width:
        return RowMoments.of(rows, left, right)
    if rows.start is None:
        return RowColumns(condense(rows.keys))
    keys, start = np.vsplit(condense(np.vstack([rows.keys, rows.start])), 2)
    return RowColumns(keys, start)


def target_misses(block: Block) -> RowColumns:
    """A block's columns times the roots of their weights: keys C, from where their targets miss them, C - T."""
    scale = np.sqrt(block.weights)
    return RowColumns(block.keys * scale, (block.keys - block.targets) * scale)


def _square(array: Array) -> float:
    return float(np.linalg.norm(array)) ** 2
