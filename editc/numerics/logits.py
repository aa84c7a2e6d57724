"""What a column that is written to the residual stream adds to the logits of words, without a product over all words.

Column w (d,) adds E w to the logits, E (v, d) the output embedding. Over the vocabulary these have the mean m . w and
the variance w^T S w, m and S the mean and the covariance of the rows of E: exact, and v is nowhere in the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.ridge import require_finite
from editc.numerics.squares import half_gram, mirror

Array: TypeAlias = NDArray[np.float64]
Ids: TypeAlias = NDArray[np.int64]

BLOCK = 8192
"""Rows of an embedding that are in memory in float64 at a time."""
COLUMNS = 40
"""Whose logits over the vocabulary are in memory at a time."""
DIGITS = 9
"""Of a score; what lies behind them is rounding, which differs from one machine to the next."""
TOP = 200
"""Tokens by which the paper compares a column before and after."""


@dataclass(frozen=True)
class Vocabulary:
    """The rows of an output embedding, taken together."""

    mean: Array
    """(d,)."""
    covariance: Array
    """(d, d)."""


@dataclass(frozen=True)
class Trace:
    """n columns before and after an edit: the parametric trace of arXiv 2406.11614.

    Where one of the two columns is zero it names nothing: overlap and cosine are 0.
    """

    overlap: Array
    """(n,): the Jaccard index of the tokens that the two raise most."""
    cosine: Array
    """(n,): of the two columns."""
    distance: Array
    """(n,): |w' - w| / |w|."""


def vocabulary(embedding: NDArray[Any]) -> Vocabulary:
    """Mean and covariance of the rows of (v, d), in two goes over blocks. Raises NonFiniteError."""
    count = len(embedding)
    mean = sum((block.sum(axis=0) for block in _blocks(embedding)), np.zeros(embedding.shape[1])) / count
    require_finite("the output embedding", mean)
    half = sum((half_gram(block - mean) for block in _blocks(embedding)), np.zeros((len(mean), len(mean))))
    return Vocabulary(mean, mirror(half) / count)


def word(embedding: NDArray[Any], ids: Ids, words: Vocabulary) -> Array:
    """The directions (m, d) in which a column's score for a word of m tokens is read: e_i - mean."""
    rows: Array = embedding[ids].astype(np.float64)
    return np.asarray(rows - words.mean)


def scores(columns: Array, spellings: Sequence[Array], words: Vocabulary) -> Array:
    """How far each of the columns (d, n) names one concept, by its spellings, each (m, d) as `word` gives it: (n,).

    In standard deviations of the column's own logits over the vocabulary, with the sign. Of a word's tokens that which
    is named least counts, and 0 where some are raised and others lowered: a column for the letter N is none for
    `N`, `intendo`. Of the spellings that which is named most counts. A column of zeros has 0. Raises NonFiniteError.
    """
    require_finite("the matrix", columns)
    spread = np.sqrt(np.maximum(np.einsum("dn,dn->n", columns, words.covariance @ columns), 0.0))
    best = np.zeros(columns.shape[1])
    for tokens in spellings:
        told = np.divide(tokens @ columns, spread, out=np.zeros((len(tokens), columns.shape[1])), where=spread > 0)
        agreed = np.abs(np.sign(told).sum(axis=0)) == len(tokens)
        least = np.where(agreed, np.sign(told[0]) * np.abs(told).min(axis=0), 0.0)
        best = np.where(np.abs(least) > np.abs(best), least, best)
    return np.asarray(np.round(best, DIGITS))


def top_tokens(embedding: NDArray[Any], columns: Array, count: int = TOP) -> Ids:
    """Of each column (d, n) the `count` tokens that it raises most, the most first: (n, count), or all that there are.

    Of -w they are those that w lowers most. Equal logits go by the token's number.
    """
    found = np.empty((columns.shape[1], min(count, len(embedding))), np.int64)
    for start in range(0, columns.shape[1], COLUMNS):
        some = columns[:, start : start + COLUMNS]
        logits = np.concatenate([some.T @ block.T for block in _blocks(embedding)], axis=1)
        found[start : start + COLUMNS] = [_first(-one, found.shape[1]) for one in logits]
    return found


def trace(embedding: NDArray[Any], before: Array, after: Array, signs: Array, count: int = TOP) -> Trace:
    """Columns (d, n) before and after; `signs` (n,) say which end of their logits is looked at."""
    sizes, ends = np.linalg.norm(before, axis=0), np.linalg.norm(after, axis=0)
    live = (sizes > 0) & (ends > 0)
    tops = np.split(top_tokens(embedding, np.hstack([signs * before, signs * after]), count), 2)
    shared = np.array([len(np.intersect1d(*pair)) for pair in zip(*tops, strict=True)], np.float64)
    overlap = shared / (2 * tops[0].shape[1] - shared)
    cosine = np.einsum("dn,dn->n", before, after) / np.where(live, sizes * ends, 1.0)
    distance = np.linalg.norm(after - before, axis=0) / np.where(sizes > 0, sizes, 1.0)
    return Trace(np.where(live, overlap, 0.0), np.where(live, cosine, 0.0), distance)


def _first(values: Array, count: int) -> Ids:
    """The places of the `count` smallest in order, equal ones by place: argsort's, without sorting the others."""
    if not count:
        return np.zeros(0, np.int64)
    some = np.flatnonzero(~(values > np.partition(values, count - 1)[count - 1]))
    return np.asarray(some[np.argsort(values[some], kind="stable")][:count])


def _blocks(embedding: NDArray[Any]) -> Iterator[Array]:
    return (embedding[start : start + BLOCK].astype(np.float64) for start in range(0, len(embedding), BLOCK))
