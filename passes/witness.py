"""What the certificate watches: the sentences of every erased concept, and where the rows of any prompt can lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from editc.ir import Array, Kept, Plan, Watch, Witness
from editc.numerics.trust import Ball
from editc.passes import keys
from editc.passes.columns import aims, needed
from editc.passes.phrases import Book, UnspokenError, last_subject
from editc.ports import Encoded, Encoder
from editc.request import Request

ALIKE = 1e-3
"""Rows that the target changes by less than this share of their length are not the concept's: in a causal encoder those
before the phrase are equal but for float32."""


def watch(plan: Plan, kept: Kept, encoder: Encoder) -> Watch | None:
    """The sentences of every concept that is erased or replaced; None when there is nothing to certify.

    They are the concept in its contexts whatever key rule the edit has: a concept is not gone from a prompt because
    the row that was edited is.
    """
    requests = [request for request in plan.manifest.edits if request.kind != "moderate"]
    found = tuple(one for request in requests for one in _sentences(plan, request, encoder))
    balls = encoder.bounds()
    if not found or not balls:
        return None
    bos = kept.empty[:, :1]
    moving = kept.rows[:, np.abs(kept.rows - bos).max(axis=0) > ALIKE * np.abs(bos).max()]
    seen = [one for witness in found for one in (witness.keys, witness.targets)]
    return Watch(found, measured(balls, [moving, *seen]))


def measured(balls: Sequence[Ball], rows: Sequence[Array]) -> tuple[Ball, ...]:
    """`balls` with each radius that is not known set to the greatest that `rows` (d, n each) have: no proof."""
    done, start = [], 0
    for ball in balls:
        run = slice(start, start + len(ball.gamma))
        start = run.stop
        if np.isinf(ball.radius):
            sizes = [np.linalg.norm((part[run] - ball.beta[:, None]) / ball.gamma[:, None], axis=0) for part in rows]
            ball = replace(ball, radius=float(np.concatenate(sizes).max()), proven=False)
        done.append(ball)
    return tuple(done)


def _sentences(plan: Plan, request: Request, encoder: Encoder) -> Iterator[Witness]:
    """One for every name in every context, but those that the encoder cuts off, which no prompt can say either."""
    contexts = request.contexts or plan.manifest.contexts or plan.family.contexts
    book = Book.of(encoder, needed(request, "aligned", contexts, plan.family))
    (target,) = aims(request, plan.family)
    for name in request.names:
        for context in contexts:
            try:
                encoded, at = book.find(context, name)
                other, there = book.find(context, target)
            except UnspokenError:
                continue
            rows, counterparts = keys.aligned(len(encoded.rows), at, there)
            mine, theirs = encoded.rows[rows], other.rows[counterparts]
            moved = np.linalg.norm(mine - theirs, axis=1) > ALIKE * np.linalg.norm(mine, axis=1)
            if moved.any():
                places = tuple(int(row) for row in rows[moved])
                weights = _weights(encoded)[rows[moved]]
                yield Witness(request.concept, encoded.prompt, places, mine[moved].T, theirs[moved].T, weights)


def _weights(encoded: Encoded) -> Array:
    """How much each row (t,) of a sentence counts: a word one, and the rows that pad it to full length one together.

    They are most of a short sentence's rows and nearly the same row each time: counted one by one, a sentence whose
    word comes back entirely and whose padding does not would pass for safe.
    """
    weights = np.ones(len(encoded.rows))
    padding = slice(last_subject(encoded) + 2, None)
    weights[padding] = 1 / max(1, len(weights[padding]))
    return weights
