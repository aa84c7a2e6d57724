"""Several edits of one weight as one edit: added, or each applied to what the ones before it left.

    shared    W + (W left) right        low-rank  W + left right        dense  W + left

Adding commutes. Applying a shared edit after others does not: it multiplies what they left, (W + D) left right. Written
out, such an edit is one that adds, with another left; so `compose` turns a sequence into terms that `sum_terms` adds.
All in float64, by `arithmetic.product`, for what comes out is stored and hashed.
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
    """(r, d_in); None for `dense`."""


def compose(terms: Sequence[Term], W: Array | None) -> tuple[Term, ...]:
    """Terms whose sum is the edit that applies `terms` one after the other. W is needed where a shared one follows one
    that is not.

    (I + U1 V1)(I + U2 V2) = I + U1 V1 + (U2 + U1 V1 U2) V2: ranks add.
    """
    done: list[Term] = []
    for term in terms:
        done.append(_after(term, done, W) if term.form == "shared" and done else term)
    return tuple(done)


def sum_terms(terms: Sequence[Term], W: Array | None) -> Term:
    """The terms as one, in the narrowest form that holds them: factors side by side; dense where one is dense.

    W is needed where forms differ and one is shared. Nothing is rounded to less than float64.
    """
    forms = {term.form for term in terms}
    if len(terms) == 1:
        return terms[0]
    if "dense" in forms:
        total = np.zeros_like(next(term.left for term in terms if term.form == "dense"))
        for term in terms:
            total += _whole(lower(term, W))
        return Term("dense", total)
    same = list(terms) if len(forms) == 1 else [lower(term, W) for term in terms]
    rights = [term.right for term in same if term.right is not None]
    return Term(same[0].form, np.hstack([term.left for term in same]), np.vstack(rights))


def lower(term: Term, W: Array | None) -> Term:
    """A shared term as the low-rank one that it is for this W; others as they are."""
    return term if term.form != "shared" else Term("low-rank", product(_require_weight(W), term.left), term.right)


def inner(first: Term, second: Term, W: Array) -> float:
    """The inner product of two changes of W, sum of dW_1 * dW_2, from their factors. For reports: by BLAS."""
    pairs = [_pair(term, W) for term in (first, second)]
    (a, b), (c, d) = pairs
    if b is None or d is None:
        one, two = (left if right is None else left @ right for left, right in pairs)
        return float(np.sum(one * two))
    return float(np.sum((a.T @ c) * (b @ d.T)))


def _after(term: Term, before: Sequence[Term], W: Array | None) -> Term:
    """The shared `term` applied to what `before`, as terms that add, made of W."""
    if all(one.form == "shared" for one in before):
        return Term("shared", term.left + sum(_change_of(one, term.left, None) for one in before), term.right)
    moved = product(_require_weight(W), term.left)
    return Term("low-rank", moved + sum(_change_of(one, term.left, W) for one in before), term.right)


def _change_of(term: Term, left: Array, W: Array | None) -> Array:
    """The change that `term` makes, times `left`; for a shared term without W, its multiplier times `left`."""
    if term.right is None:
        return product(term.left, left)
    outer = term if W is None else lower(term, W)
    return product(outer.left, product(term.right, left))


def _whole(term: Term) -> Array:
    return term.left if term.right is None else product(term.left, term.right)


def _pair(term: Term, W: Array) -> tuple[Array, Array | None]:
    return (W @ term.left if term.form == "shared" else term.left), term.right


def _require_weight(W: Array | None) -> Array:
    if W is None:
        raise ValueError("a shared edit beside others that are not needs the weight")
    return W
