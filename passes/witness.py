"""What the certificate watches: the sentences of every erased concept, and where the rows of any prompt can lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from editc.ir import Array, Kept, Plan, Watch, Witness
from editc.numerics.trust import Ball
from editc.passes import keys
from editc.passes.columns import aims, needed
from editc.passes.phrases import Book, UnspokenError
from editc.ports import Encoder
from editc.request import Request

ALIKE = 1e-3
"""Rows that the target changes by less than this share of their length are not the concept's: in a causal encoder those
before the phrase are equal but for float32."""
MEASURED = 128
"""Prompts over which a ball is measured where no norm gives it."""


def watch(plan: Plan, kept: Kept, encoders: Sequence[Encoder]) -> Watch | None:
    """The sentences of every concept that is erased or replaced; None when there is nothing to certify.

    They are the concept in its contexts whatever key rule the edit has: a concept is not gone from a prompt because
    the row that was edited is. Rows of several encoders after one another (SD 3) lie in several sets: not certified.
    """
    if len(encoders) > 1:
        return None
    (encoder,) = encoders
    requests = [request for request in plan.manifest.edits if request.kind != "moderate"]
    found = tuple(one for request in requests for one in _sentences(plan, request, encoder))
    balls = encoder.bounds()
    if not found or not balls:
        return None
    seen = [one for witness in found for one in (witness.keys, witness.targets)]
    if any(np.isinf(ball.radius) for ball in balls):
        seen += _moving(kept, encoder)
    return Watch(found, measured(balls, seen))


def _moving(kept: Kept, encoder: Encoder) -> Iterator[Array]:
    """The rows (d, t) of the first prompts kept, without those that begin every prompt alike: BOS is an outlier."""
    bos = kept.empty[:, :1]
    for encoded in encoder.encode(kept.origin[:MEASURED]):
        rows = encoded.rows.T
        yield rows[:, np.abs(rows - bos).max(axis=0) > ALIKE * np.abs(bos).max()]


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
            rows, counterparts = keys.aligned(len(encoded.rows), at, there, len(other.rows))
            mine, theirs = encoded.rows[rows], other.rows[counterparts]
            moved = np.linalg.norm(mine - theirs, axis=1) > ALIKE * np.linalg.norm(mine, axis=1)
            if moved.any():
                places = tuple(int(row) for row in rows[moved])
                yield Witness(
                    request.concept, encoded.prompt, places, mine[moved].T, theirs[moved].T, np.ones(len(places))
                )
