"""Recover the low-rank edit that turned one set of weights into another, although the edited weights were rounded.

W and W' (d_out, d_in) are the weights of a site before and after, for sites that read the same input. D = W' - W is the
edit plus up to half an ulp of W' an entry. (An ulp is the distance from one stored number to the next.)

A *rounding* of an entry is one ulp of the largest of |W|, |W'| and the root mean square of W'. Anything smaller was
lost when these weights were stored, by editc or by another program. An edit *explains* a pair of weights if it is
within a given number of roundings of every entry of D. The recovered rank is the least that explains every pair. It is
at least the number of directions in D that are larger than rounding noise, so nothing that differs from noise is left
out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

TOLERANCE = 4.0
"""Roundings that an edit may leave unexplained. Chosen by hand: W' itself has half a rounding, and programs that store
between two steps, as RECE does, leave one or two (docs/reference/diff.md)."""
SINGLE_PRECISION_TOLERANCE = 64.0
"""The same for edits made by programs that also summed in float32: about 4e-6 of a weight. Chosen by hand: such scripts
leave dozens (docs/reference/diff.md). Only F32 and F64 weights show errors so small."""
_SIGNIFICANT_BITS = {"F64": (53, -1022), "F32": (24, -126), "F16": (11, -14), "BF16": (8, -126)}
"""For each dtype, its significant bits and the exponent of its smallest normal number (IEEE 754, bfloat16)."""
_FIRST_COUNT, _COUNT_FACTOR, _SEED = 24, 4, 20231
"""How many random combinations of rows `row_space` starts with, by how much it multiplies them if they do not suffice,
and the seed. Chosen by hand."""
_CHUNK_ENTRIES = 1 << 20
"""Entries of a weight that are worked on at a time. Chosen by hand: 8 MB for each array."""
_SINGULAR = 1e-13
"""Eigenvalues of sum W^T W at or below this share of the largest count as zero. Chosen by hand, above float64's
rounding."""


@dataclass(frozen=True)
class WeightPair:
    """One matrix before and after an edit."""

    before: Array
    """W (d_out, d_in), the weight before the edit."""
    after: Array
    """W' (d_out, d_in), the weight after the edit."""
    dtype: str
    """The dtype in which both are stored, under its name in safetensors."""

    @property
    def change(self) -> Array:
        """The edit D = W' - W (d_out, d_in), exact up to one float64 rounding."""
        return np.asarray(self.after - self.before)

    def error_in_roundings(self, edit: Array) -> float:
        """Return the largest entry of |D - edit| for `edit` (d_out, d_in), in roundings as the module defines them."""
        floor, worst = float(np.linalg.norm(self.after)) / np.sqrt(self.after.size), 0.0
        for rows in self.row_chunks():
            before, after = self.before[rows], self.after[rows]
            size = np.maximum(np.maximum(np.abs(before), np.abs(after)), floor)
            worst = max(worst, float(np.max(np.abs((after - before) - edit[rows]) / ulp(size, self.dtype))))
        return worst

    def row_chunks(self) -> Iterator[slice]:
        """Yield slices of rows that cover the matrix.

        Each has about _CHUNK_ENTRIES entries, to limit scratch memory.
        """
        step = max(1, _CHUNK_ENTRIES // self.after.shape[1])
        yield from (slice(start, start + step) for start in range(0, len(self.after), step))


def ulp(values: Array, dtype: str) -> Array:
    """Return the distance from each |value| to the next larger number of `dtype`, in the shape of `values`.

    The values should be numbers of `dtype` or close to such numbers.
    """
    bits, least = _SIGNIFICANT_BITS[dtype]
    exponent = np.frexp(values)[1] - 1
    step: Array = np.ldexp(1.0, np.where(values == 0, least, np.maximum(exponent, least)) - (bits - 1))
    return step


@dataclass(frozen=True)
class RowSpace:
    """The row space of all edits D stacked on one another."""

    values: Array
    """(k,). The singular values, in falling order."""
    rows: Array
    """(k, d_in). The right singular vectors as orthonormal rows."""
    rank: int
    """How many of the singular values are larger than rounding alone explains. These are the first ones."""
    complete: bool
    """True if `rank` counts all of them, False if the search stopped at the limit before it had found all."""


def row_space(pairs: Sequence[WeightPair], most: int, tolerance: float = TOLERANCE) -> RowSpace:
    """Compute the singular values and right singular vectors of all D stacked that are larger than rounding noise.

    The noise level grows in proportion if `tolerance` is above TOLERANCE. One pair is in memory at a time.

    The method takes random combinations of the rows, and takes more until the smallest singular value is only noise
    (Halko et al. 2011, section 4.3, with one step of its power iteration). It stops with `complete` False once more
    than
    `most` directions are larger than noise.
    """
    height, width, floor = _size_and_noise(pairs)
    floor *= max(1.0, tolerance / TOLERANCE)
    count = _FIRST_COUNT
    while True:
        full = 2 * count >= min(height, width)
        basis = None if full else _random_basis(pairs, count, width)
        values, rows = _stacked_svd(pairs, basis, height, width)
        rank = int(np.count_nonzero(values > floor))
        if full or rank < len(values) - 4 or rank > most:
            return RowSpace(values, rows, rank, full or rank < len(values) - 4)
        count = min(_COUNT_FACTOR * count, most + 8)


def _size_and_noise(pairs: Sequence[WeightPair]) -> tuple[int, int, float]:
    """Return the number of rows of all pairs, the number of columns, and the noise level of singular values.

    The noise level is twice the largest singular value that is expected from rounding both W and W'. The factor of 2 is
    chosen by hand: a base may have been rounded after it was edited, and programs round in between.
    """
    height, width, power, count = 0, 0, 0.0, 0
    for pair in pairs:
        height, width, count = height + len(pair.after), pair.after.shape[1], count + pair.after.size
        for rows in pair.row_chunks():
            both = (ulp(W[rows], pair.dtype) for W in (pair.before, pair.after))
            power += sum(float(np.sum(np.square(steps))) / 12 for steps in both)
    return height, width, 2.0 * float(np.sqrt(power / count) * (np.sqrt(height) + np.sqrt(width)))


def _random_basis(pairs: Sequence[WeightPair], count: int, width: int) -> Array:
    """Return orthonormal columns (width, count) that span nearly all of the row space of the stacked D."""
    rng = np.random.default_rng(_SEED)
    total = np.zeros((count, width))
    for pair in pairs:
        total += rng.normal(size=(count, len(pair.before))) @ pair.change
    basis = np.linalg.qr(total.T)[0]
    total = np.zeros((width, count))
    for pair in pairs:
        total += pair.change.T @ (pair.change @ basis)
    return np.asarray(np.linalg.qr(total)[0])


def _stacked_svd(pairs: Sequence[WeightPair], basis: Array | None, height: int, width: int) -> tuple[Array, Array]:
    """Return singular values (k,) and right singular vectors (k, d_in) of the stacked D, or of D basis basis^T.

    A QR takes one pair after another, and its triangle has the same SVD. The largest entry of each vector is positive.
    """
    triangle = np.zeros((0, width if basis is None else basis.shape[1]))
    for pair in pairs:
        triangle = np.vstack([triangle, pair.change if basis is None else pair.change @ basis])
        if len(triangle) > triangle.shape[1]:
            triangle = np.asarray(np.linalg.qr(triangle, mode="r"))
    _, values, rows = np.linalg.svd(triangle, full_matrices=False)
    rows = rows if basis is None else rows @ basis.T
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    return values, rows * np.where(largest < 0, -1.0, 1.0)


def fit_multiplier(pairs: Sequence[WeightPair], rows: Array) -> Array:
    """Fit L (d_in, k) by least squares over all pairs so that D is nearest to W L rows, for `rows` (k, d_in)."""
    width = rows.shape[1]
    gram, aim = np.zeros((width, width)), np.zeros((width, len(rows)))
    for pair in pairs:
        gram += pair.before.T @ pair.before
        aim += pair.before.T @ (pair.change @ rows.T)
    values, vectors = np.linalg.eigh(gram)
    large = values > _SINGULAR * max(values[-1], np.finfo(float).tiny)
    vectors = vectors[:, large]
    return np.asarray(vectors @ ((vectors.T @ aim) / values[large, None]))


def least_rank(explains: Callable[[int], bool], guess: int, most: int) -> int | None:
    """Return the least rank from `guess` to `most` for which `explains` is true, or None if there is none.

    `explains` must be true for every rank above one for which it is true.
    """
    if guess > most:
        return None
    low, high, step = guess - 1, guess, 1
    while not explains(high):
        if high == most:
            return None
        low, high, step = high, min(high + step, most), 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if explains(middle) else (middle, high)
    return high
