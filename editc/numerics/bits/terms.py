"""Combine several edits of one weight into one edit: add them, or apply one after another.

    shared    W + (W left) right        low-rank  W + left right        dense  W + left

The order of added edits does not matter. A shared edit that is applied after others multiplies what they left: it adds
(W + D) left right, where D is the change made before. That is the same as adding an edit with another left factor. So
`compose` turns a sequence into terms, and `sum_terms` adds them. Everything is in float64 and uses
`arithmetic.product`, because the result is stored and hashed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.bits.arithmetic import product

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Term:
    """One edit of one weight W (d_out, d_in)."""

    form: str
    """`shared`, `low-rank` or `dense`."""
    left: Array
    """(d_in, r) for `shared`, (d_out, r) for `low-rank`, (d_out, d_in) for `dense`."""
    right: Array | None = None
    """(r, d_in), or None for `dense`."""


def compose(terms: Sequence[Term], W: Array | None) -> tuple[Term, ...]:
    """Return terms whose sum is the edit that applies `terms` one after the other.

    W (d_out, d_in) may be None unless a shared term follows one that is not shared. Two shared terms compose as (I + U1
    V1)(I + U2 V2) = I + U1 V1 + (U2 + U1 V1 U2) V2, so their ranks add. Raises ValueError if W is needed and None.
    """
    done: list[Term] = []
    for term in terms:
        done.append(_apply_after(term, done, W) if term.form == "shared" and done else term)
    return tuple(done)


def sum_terms(terms: Sequence[Term], W: Array | None) -> Term:
    """Return the sum of `terms` as one term: dense if one of them is dense, else with their factors side by side.

    W (d_out, d_in) may be None unless forms differ and one is shared. Nothing is rounded to less than float64. Raises
    ValueError if W is needed and None.
    """
    forms = {term.form for term in terms}
    if len(terms) == 1:
        return terms[0]
    if "dense" in forms:
        total = np.zeros_like(next(term.left for term in terms if term.form == "dense"))
        for term in terms:
            total += _to_dense(to_low_rank(term, W))
        return Term("dense", total)
    same = list(terms) if len(forms) == 1 else [to_low_rank(term, W) for term in terms]
    rights = [term.right for term in same if term.right is not None]
    return Term(same[0].form, np.hstack([term.left for term in same]), np.vstack(rights))


def to_low_rank(term: Term, W: Array | None) -> Term:
    """Return a shared term as the low-rank term that changes W (d_out, d_in) alike; return other terms as they are."""
    return term if term.form != "shared" else Term("low-rank", product(_require_weight(W), term.left), term.right)


def inner_product(first: Term, second: Term, W: Array) -> float:
    """Return the inner product of two changes of W (d_out, d_in), the sum of all entries of dW_1 * dW_2.

    It is computed from the factors with BLAS, for reports, so its last bits may vary.
    """
    pairs = [_factors(term, W) for term in (first, second)]
    (a, b), (c, d) = pairs
    if b is None or d is None:
        one, two = (left if right is None else left @ right for left, right in pairs)
        return float(np.sum(one * two))
    return float(np.sum((a.T @ c) * (b @ d.T)))


def _apply_after(term: Term, before: Sequence[Term], W: Array | None) -> Term:
    """Return the term to add so that the shared `term` acts on what the terms `before` left of W."""
    if all(one.form == "shared" for one in before):
        return Term("shared", term.left + sum(_change_of(one, term.left, None) for one in before), term.right)
    moved = product(_require_weight(W), term.left)
    return Term("low-rank", moved + sum(_change_of(one, term.left, W) for one in before), term.right)


def _change_of(term: Term, left: Array, W: Array | None) -> Array:
    """Return the change that `term` makes, times `left` (d_in, k).

    For a shared term without W, return its multiplier times `left`.
    """
    if term.right is None:
        return product(term.left, left)
    outer = term if W is None else to_low_rank(term, W)
    return product(outer.left, product(term.right, left))


def _to_dense(term: Term) -> Array:
    """Return a low-rank or dense term as a matrix (d_out, d_in)."""
    return term.left if term.right is None else product(term.left, term.right)


def _factors(term: Term, W: Array) -> tuple[Array, Array | None]:
    """Return two factors of the change of W, (d_out, r) and (r, d_in), or the matrix (d_out, d_in) and None."""
    return (W @ term.left if term.form == "shared" else term.left), term.right


def _require_weight(W: Array | None) -> Array:
    """Return W, or raise ValueError if it is None."""
    if W is None:
        raise ValueError("a shared edit beside others that are not needs the weight")
    return W
