"""The low-rank edit that took one set of weights to another, found again although the edited weights were rounded.

Pairs W, W' (d_out, d_in) of sites that see the same input; D = W' - W is the edit and up to half an ulp of W' an entry.
A *rounding* of an entry is one ulp of the largest of |W|, |W'| and the root mean square of W': what is less than
that was lost when these weights were stored, by us or by others. An edit *explains* a pair when it comes within a
given number of roundings of every entry of D. The rank found is the least that explains every pair and is not less
than the directions that stand out of what rounding makes: nothing that can be told from rounding is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

TOLERANCE = 4.0
"""Roundings that an edit may leave: half of one is stored with W'; programs round once or twice on their way to it."""
SINGLE = 64.0
"""The same for programs whose sums were float32 too: some 4e-6 of a weight. Only weights stored wider than in half
precision show them, so it is of no use for others."""
_DIGITS = {"F64": (53, -1022), "F32": (24, -126), "F16": (11, -14), "BF16": (8, -126)}
"""Significant bits of each dtype, and the exponent of its smallest normal number."""
_FIRST, _MORE, _SEED = 24, 4, 20231
_CHUNK = 1 << 20
_SINGULAR = 1e-13
"""Eigenvalues of sum W^T W below that share of the largest are taken for zeros."""


@dataclass(frozen=True)
class Pair:
    """One matrix before and after an edit."""

    before: Array
    """(d_out, d_in) in float64."""
    after: Array
    """(d_out, d_in) in float64."""
    dtype: str
    """As both are stored; safetensors' name."""

    @property
    def moved(self) -> Array:
        """D = W' - W, exact up to one float64 rounding."""
        return np.asarray(self.after - self.before)

    def roundings(self, edit: Array) -> float:
        """The largest |D - edit| in roundings, as the module defines them."""
        floor, worst = float(np.linalg.norm(self.after)) / np.sqrt(self.after.size), 0.0
        for rows in self.chunks():
            before, after = self.before[rows], self.after[rows]
            size = np.maximum(np.maximum(np.abs(before), np.abs(after)), floor)
            worst = max(worst, float(np.max(np.abs((after - before) - edit[rows]) / ulp(size, self.dtype))))
        return worst

    def chunks(self) -> Iterator[slice]:
        """Rows by rows, so many that what is computed of them stays small beside the weights."""
        step = max(1, _CHUNK // self.after.shape[1])
        yield from (slice(start, start + step) for start in range(0, len(self.after), step))


def ulp(values: Array, dtype: str) -> Array:
    """The distance from |value| to the next larger number of `dtype`, for values that it holds (or close to them)."""
    bits, least = _DIGITS[dtype]
    exponent = np.frexp(values)[1] - 1
    step: Array = np.ldexp(1.0, np.where(values == 0, least, np.maximum(exponent, least)) - (bits - 1))
    return step


@dataclass(frozen=True)
class Space:
    """The rows that the stacked edits are made of."""

    values: Array
    """Singular values (k,), falling."""
    rows: Array
    """(k, d_in), orthonormal."""
    rank: int
    """How many of them, the first ones, stand out of what rounding alone makes."""
    whole: bool
    """True where there cannot be more than these k."""


def row_space(pairs: Sequence[Pair], most: int, tolerance: float = TOLERANCE) -> Space:
    """Singular values and right singular vectors of all D stacked, those above the rounding; one pair at a time. A
    `tolerance` above the usual one lifts in its proportion what is taken for rounding.

    By random combinations of the rows, more of them until the smallest is only rounding (Halko et al. 2011, 4.3, with
    one step of its power iteration), or until `most` directions stand out: then `whole` is False.
    """
    height, width, floor = _size_and_noise(pairs)
    floor *= max(1.0, tolerance / TOLERANCE)
    count = _FIRST
    while True:
        full = 2 * count >= min(height, width)
        basis = None if full else _sketch(pairs, count, width)
        values, rows = _triangle(pairs, basis, height, width)
        rank = int(np.count_nonzero(values > floor))
        if full or rank < len(values) - 4 or rank > most:
            return Space(values, rows, rank, full or rank < len(values) - 4)
        count = min(_MORE * count, most + 8)


def _size_and_noise(pairs: Sequence[Pair]) -> tuple[int, int, float]:
    """Rows of all pairs, columns, and twice the largest singular value that is expected when both W and W' were rounded
    (a base may have been rounded after it was edited, and programs round on the way)."""
    height, width, power, count = 0, 0, 0.0, 0
    for pair in pairs:
        height, width, count = height + len(pair.after), pair.after.shape[1], count + pair.after.size
        for rows in pair.chunks():
            both = (ulp(W[rows], pair.dtype) for W in (pair.before, pair.after))
            power += sum(float(np.sum(np.square(steps))) / 12 for steps in both)
    return height, width, 2.0 * float(np.sqrt(power / count) * (np.sqrt(height) + np.sqrt(width)))


def _sketch(pairs: Sequence[Pair], count: int, width: int) -> Array:
    rng = np.random.default_rng(_SEED)
    total = np.zeros((count, width))
    for pair in pairs:
        total += rng.normal(size=(count, len(pair.before))) @ pair.moved
    basis = np.linalg.qr(total.T)[0]
    total = np.zeros((width, count))
    for pair in pairs:
        total += pair.moved.T @ (pair.moved @ basis)
    return np.asarray(np.linalg.qr(total)[0])


def _triangle(pairs: Sequence[Pair], basis: Array | None, height: int, width: int) -> tuple[Array, Array]:
    """The SVD of the stacked D (times `basis`), from the triangle of a QR that takes one pair after another;
    the largest entry of each row is positive."""
    triangle = np.zeros((0, width if basis is None else basis.shape[1]))
    for pair in pairs:
        triangle = np.vstack([triangle, pair.moved if basis is None else pair.moved @ basis])
        if len(triangle) > triangle.shape[1]:
            triangle = np.asarray(np.linalg.qr(triangle, mode="r"))
    _, values, rows = np.linalg.svd(triangle, full_matrices=False)
    rows = rows if basis is None else rows @ basis.T
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    return values, rows * np.where(largest < 0, -1.0, 1.0)


def multiplier(pairs: Sequence[Pair], rows: Array) -> Array:
    """L (d_in, k) with W L nearest to D rows^T over all pairs (least squares): D = W L rows, if there is such an M."""
    width = rows.shape[1]
    gram, aim = np.zeros((width, width)), np.zeros((width, len(rows)))
    for pair in pairs:
        gram += pair.before.T @ pair.before
        aim += pair.before.T @ (pair.moved @ rows.T)
    values, vectors = np.linalg.eigh(gram)
    kept = values > _SINGULAR * max(values[-1], np.finfo(float).tiny)
    vectors = vectors[:, kept]
    return np.asarray(vectors @ ((vectors.T @ aim) / values[kept, None]))


def least_rank(explains: Callable[[int], bool], guess: int, most: int) -> int | None:
    """The least rank from `guess` to `most` that explains, for a test that holds above every rank where it holds."""
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
