"""Sums of squares over the outputs of one wide layer, in O(d^2) for each list of rows.

A stored layer is W' = W + A right + R, with A = W left for the shared edit, and R the rounding of the stored weight.
For columns X with offsets Y (`row_sums.MeasuredRows`), with B = right X,

    |W Y + (W' - W) X|^2 = |W Y + A B|^2 + 2 <W^T R, (Y + left B) X^T> + <R^T R, X X^T>
    |W Y + A B|^2        = |W Y|^2 + 2 <W^T A, Y B^T> + <A^T A, B B^T>

|W Y|^2 is a figure of the base. Without offsets the term in the middle is 2 <A^T R, B X^T>, which is little work. R is
at most 2^-9 of W, so the products W^T R and R^T R are formed in float32: their relative error of 1e-6 is one of less
than 1e-9 of what is measured, and digits of claims are seven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.numerics.squares import dot_halves, dot_rows
from editc.passes.images.measure.row_sums import RowColumns

Single = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rounding:
    """What rounding did to one layer: its products with the weight and with itself."""

    cross: Single
    """W^T R (d, d)."""
    noise: Single
    """R^T R (d, d); only the lower half is filled."""

    @staticmethod
    def of(W: Single, rest: Single) -> Rounding:
        """Form both products for W and R (d_out, d)."""
        from scipy.linalg.blas import ssyrk

        return Rounding(np.asarray(W.T @ rest), np.asarray(ssyrk(1.0, rest.T).T))


@dataclass(frozen=True, eq=False)
class RoundedLayer:
    """A wide layer, with the products that the certificate sums."""

    W: Array
    """(d_out, d_in): the weight before the edit."""
    rest: Single
    """(d_out, d_in): what rounding added to the edited weight."""
    left: Array
    """(d_in, r): the left factor, the same for all layers."""
    right: Array
    """(r, d_in): the right factor, the same for all layers."""
    rounding: Rounding
    """Its products."""

    @property
    def cross(self) -> Single:
        """W^T rest (d_in, d_in)."""
        return self.rounding.cross

    @property
    def noise(self) -> Single:
        """rest^T rest (d_in, d_in); only the lower half is filled."""
        return self.rounding.noise


@dataclass(frozen=True, eq=False)
class WideRows:
    """Everything that is measured at the layers of one shared edit: lists of rows, and requests with offsets."""

    before: Array
    """(lists, sites): |W X|^2 of each layer, for the sets without offsets, which come first."""
    offset: tuple[bool, ...]
    """(sets,): which have offsets."""
    inner: Array
    """(sets, r, r): B B^T."""
    slant: Array
    """(sets, d, r): Y B^T; zeros without offsets."""
    plain: Single
    """(lists, r, d): B X^T of the sets without offsets."""
    mixed: Single
    """(sets with offsets, d, d): (Y + left B) X^T."""
    keys: Single
    """(sets, d, d): the lower half of X X^T, so that its product with the lower half of R^T R is the whole sum."""

    @staticmethod
    def of(rows: Sequence[RowColumns], known: Sequence[Array], before: Array, left: Array, right: Array) -> WideRows:
        """Form the moments of some rows for the edit left (d, r), right (r, d).

        Rows without offsets come first: `known` has their X X^T, and `before` is theirs.
        """
        width, rank = left.shape
        inner, slant = np.zeros((len(rows), rank, rank)), np.zeros((len(rows), width, rank))
        lists = len(before)
        plain, keys = np.empty((lists, rank, width), np.float32), np.empty((len(rows), width, width), np.float32)
        mixed = np.empty((len(rows) - lists, width, width), np.float32)
        for index, one in enumerate(rows):
            moment = known[index] if index < len(known) else one.keys @ one.keys.T
            reached = right @ moment
            inner[index] = reached @ right.T
            if one.start is None:
                plain[index] = reached
            else:
                cross = one.start @ one.keys.T
                slant[index] = cross @ right.T
                mixed[index - lists] = cross + left @ reached
            keys[index] = np.tril(moment) + np.tril(moment, -1)
        return WideRows(before, tuple(one.start is not None for one in rows), inner, slant, plain, mixed, keys)

    def squares(self, site: int, layer: RoundedLayer, A: Array, starts: Array) -> Array:
        """Return the sums (sets, 2) of layer number `site`: after the edit and before it.

        A (d_out, r) is W left, and `starts` has |W Y|^2 of the sets with offsets.
        """
        before, product = np.concatenate([self.before[:, site], starts]), A.T @ A
        after = np.einsum("srq,rq->s", self.inner, product)
        if any(self.offset):
            after += np.where(self.offset, before + 2 * np.einsum("sdr,dr->s", self.slant, layer.W.T @ A), 0.0)
        reached = (A.astype(np.float32).T @ layer.rest).reshape(-1)
        after[: len(self.plain)] += 2.0 * (self.plain.reshape(len(self.plain), -1) @ reached)
        after[len(self.plain) :] += [2.0 * dot_rows(one, layer.cross) for one in self.mixed]
        after += [dot_halves(one, layer.noise) for one in self.keys]
        return np.stack([np.maximum(after, 0.0), before], axis=1)
