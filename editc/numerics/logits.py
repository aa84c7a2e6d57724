"""Find out which tokens a column of a weight makes likelier: what it adds to their logits.

A column w (d,) of a matrix that writes to the residual stream adds E w to the logits, where E (v, d) is the output
embedding with one row a token of the vocabulary. Over the vocabulary the entries of E w have the mean m . w and the
variance w^T S w, where m and S are the mean and the covariance of the rows of E. Both are exact, and computing them for
a column takes no product with E.
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
"""Rows of an embedding that are in memory in float64 at a time. Chosen by hand: 8192 rows of width 4096 take 256 MB."""
COLUMNS = 40
"""Columns whose logits are in memory at a time. Chosen by hand: for 128,000 tokens they take 41 MB."""
DIGITS = 9
"""Decimal places of a score. Later ones are rounding, which differs from machine to machine. Chosen by hand."""
TOP = 200
"""How many tokens are compared before and after an edit, as in arXiv 2406.11614."""


@dataclass(frozen=True)
class VocabularyMoments:
    """Mean and covariance of the rows of an output embedding."""

    mean: Array
    """m (d,)."""
    covariance: Array
    """S (d, d)."""


@dataclass(frozen=True)
class Trace:
    """How n columns of a weight differ before and after an edit: the parametric trace of arXiv 2406.11614.

    A column of zeros names nothing. If one of the two columns is zero, overlap and cosine are 0.
    """

    overlap: Array
    """(n,). The Jaccard index of the two sets of tokens that the column raises most, before and after."""
    cosine: Array
    """(n,). The cosine between the column before and after."""
    distance: Array
    """(n,). |w' - w| / |w|, where w is the column before and w' after; |w'| if w is zero."""


def vocabulary_moments(embedding: NDArray[Any]) -> VocabularyMoments:
    """Compute mean and covariance of the rows of `embedding` (v, d), in two passes over blocks of rows.

    Raises NonFiniteError if an entry is NaN or infinite.
    """
    count = len(embedding)
    mean = sum((block.sum(axis=0) for block in _blocks(embedding)), np.zeros(embedding.shape[1])) / count
    require_finite("the output embedding", mean)
    half = sum((half_gram(block - mean) for block in _blocks(embedding)), np.zeros((len(mean), len(mean))))
    return VocabularyMoments(mean, mirror(half) / count)


def word_directions(embedding: NDArray[Any], ids: Ids, words: VocabularyMoments) -> Array:
    """Return, for a word of m tokens, the directions (m, d) along which a column names it: e_i - mean.

    `ids` (m,) are the word's tokens, e_i their rows of `embedding` (v, d), and `words` has the mean of all rows.
    """
    rows: Array = embedding[ids].astype(np.float64)
    return np.asarray(rows - words.mean)


def naming_scores(columns: Array, spellings: Sequence[Array], words: VocabularyMoments) -> Array:
    """Score how strongly each of the columns (d, n) names one concept: (n,), rounded to DIGITS places.

    `spellings` has the directions (m, d) of each spelling of the concept, from `word_directions`. A score is in
    standard deviations of the column's own logits over the vocabulary; it is negative if the column makes the concept
    less likely. The score of a spelling is that of its least named token. It is 0 if the column raises some of the
    tokens and lowers others: a column for the letter N does not name `N`, `intendo`. The score of the concept is that
    of the most strongly named spelling. A column of zeros has score 0. Raises NonFiniteError if an entry is NaN or
    infinite.
    """
    require_finite("the matrix", columns)
    spread = np.sqrt(np.maximum(np.einsum("dn,dn->n", columns, words.covariance @ columns), 0.0))
    best = np.zeros(columns.shape[1])
    for tokens in spellings:
        strengths = np.divide(tokens @ columns, spread, out=np.zeros((len(tokens), columns.shape[1])), where=spread > 0)
        agreed = np.abs(np.sign(strengths).sum(axis=0)) == len(tokens)
        least = np.where(agreed, np.sign(strengths[0]) * np.abs(strengths).min(axis=0), 0.0)
        best = np.where(np.abs(least) > np.abs(best), least, best)
    return np.asarray(np.round(best, DIGITS))


def top_tokens(embedding: NDArray[Any], columns: Array, count: int = TOP) -> Ids:
    """Return the `count` tokens that each of the columns (d, n) raises most, the most raised first: ids (n, count).

    Fewer if the vocabulary is smaller. For the tokens that w lowers most, give -w. Equal logits go by token id.
    """
    found = np.empty((columns.shape[1], min(count, len(embedding))), np.int64)
    for start in range(0, columns.shape[1], COLUMNS):
        some = columns[:, start : start + COLUMNS]
        logits = np.concatenate([some.T @ block.T for block in _blocks(embedding)], axis=1)
        found[start : start + COLUMNS] = [_indices_of_smallest(-one, found.shape[1]) for one in logits]
    return found


def compare_columns(embedding: NDArray[Any], before: Array, after: Array, signs: Array, count: int = TOP) -> Trace:
    """Compare n columns before and after an edit, (d, n) each, by the `count` tokens that each raises most.

    `signs` (n,) are 1 or -1. -1: compare the tokens that the column lowers most instead.
    """
    sizes, ends = np.linalg.norm(before, axis=0), np.linalg.norm(after, axis=0)
    live = (sizes > 0) & (ends > 0)
    tops = np.split(top_tokens(embedding, np.hstack([signs * before, signs * after]), count), 2)
    shared = np.array([len(np.intersect1d(*pair)) for pair in zip(*tops, strict=True)], np.float64)
    overlap = shared / (2 * tops[0].shape[1] - shared)
    cosine = np.einsum("dn,dn->n", before, after) / np.where(live, sizes * ends, 1.0)
    distance = np.linalg.norm(after - before, axis=0) / np.where(sizes > 0, sizes, 1.0)
    return Trace(np.where(live, overlap, 0.0), np.where(live, cosine, 0.0), distance)


def _indices_of_smallest(values: Array, count: int) -> Ids:
    """Return the indices (count,) of the smallest of `values` (v,), in ascending order; equal values go by index.

    These are the first entries of a stable argsort, without sorting the rest.
    """
    if not count:
        return np.zeros(0, np.int64)
    some = np.flatnonzero(~(values > np.partition(values, count - 1)[count - 1]))
    return np.asarray(some[np.argsort(values[some], kind="stable")][:count])


def _blocks(embedding: NDArray[Any]) -> Iterator[Array]:
    """Yield the rows of `embedding` (v, d) in float64, BLOCK at a time."""
    return (embedding[start : start + BLOCK].astype(np.float64) for start in range(0, len(embedding), BLOCK))
