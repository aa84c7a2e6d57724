"""Witnesses of the certificate: the sentences of every erased concept, and the set in which the rows of any prompt lie.

That set is a ball for each run of coordinates of a row (`numerics.ball.Ball`): |u| is at most its radius, with
u = (row - beta) / gamma, as a final LayerNorm of the text encoder bounds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Request
from editc.core.plan import Plan
from editc.core.ports import Cache, EncodedPrompt, Encoder
from editc.core.problem import CertificateInput, PreservedRows, Witness
from editc.core.storage.caching import load_or_compute
from editc.numerics.ball import Ball
from editc.passes.images.keys.rules.aligned import ALIGNED, aligned_rows
from editc.passes.images.keys.rules.pairs import target_names
from editc.passes.images.rows import encoding
from editc.passes.images.rows.inputs import TextStream
from editc.passes.images.rows.phrases import MissingTokensError, last_text_row

UNCHANGED = 1e-3
"""Rows that the target changes by less than this share of their length do not belong to a witness. In a causal encoder
the rows before the phrase are equal up to float32 rounding. Chosen by hand, far above that rounding."""
MEASURED_PROMPTS = 128
"""Prompts of each list over which a radius is measured where no LayerNorm gives it. Chosen by hand."""


def make_certificate_input(
    plan: Plan, preserved: PreservedRows, streams: Sequence[TextStream], cache: Cache | None = None
) -> CertificateInput | None:
    """Return the witnesses of every concept that is erased or replaced; None where nothing can be certified.

    Witnesses are the concept in its contexts, with all rows that the target changes, whichever rows the key rule edits:
    a concept is not gone from a prompt because one of its rows is. Nothing is certified where the rows of several
    encoders follow one another (SD 3), because they lie in different sets.
    """
    if len(streams) > 1:
        return None
    encoder = streams[0].encoder
    requests = [request for request in plan.manifest.image_edits if request.kind != "moderate"]
    found = tuple(one for request in requests for one in _witnesses(plan, request, streams[0], cache))
    balls = encoder.bounds()
    if not found or not balls:
        return None
    seen = ball_sizes(balls, [one for witness in found for one in (witness.keys, witness.targets)])
    if any(np.isinf(ball.radius) for ball in balls):
        prompts = _sample_prompts(preserved)
        cached = load_or_compute(
            prompts,
            "sizes",
            lambda: {"sizes": ball_sizes(balls, _varying_rows(preserved, prompts, encoder))},
            cache,
            streams[0].mark,
            "sizes of embeddings",
            ["sizes"],
        )
        seen = np.maximum(seen, cached["sizes"])
    return CertificateInput(found, measure_radii(balls, seen))


def ball_sizes(balls: Sequence[Ball], rows: Iterable[Array]) -> Array:
    """Return the greatest |u| of any row for each ball, (balls,). `rows` yields arrays (d, n), a row in each column."""
    ends = np.cumsum([len(ball.gamma) for ball in balls])
    found = np.zeros(len(balls))
    for part in rows:
        for index, (end, ball) in enumerate(zip(ends, balls, strict=True)):
            u = (part[end - len(ball.gamma) : end] - ball.beta[:, None]) / ball.gamma[:, None]
            found[index] = max(found[index], np.linalg.norm(u, axis=0).max(initial=0.0))
    return found


def measure_radii(balls: Sequence[Ball], seen: Array) -> tuple[Ball, ...]:
    """Set each radius that the architecture does not give to the greatest |u| in `seen` (balls,).

    It is then not proven.
    """
    return tuple(
        replace(ball, radius=float(size), proven=False) if np.isinf(ball.radius) else ball
        for ball, size in zip(balls, seen, strict=True)
    )


def _sample_prompts(preserved: PreservedRows) -> tuple[str, ...]:
    """Return the first MEASURED_PROMPTS prompts of the preserved list and of what is named beside it."""
    named = () if preserved.named is None else preserved.named.prompts
    return tuple(dict.fromkeys((*preserved.prompts[:MEASURED_PROMPTS], *named[:MEASURED_PROMPTS])))


def _varying_rows(preserved: PreservedRows, prompts: Sequence[str], encoder: Encoder) -> Iterator[Array]:
    """Yield the rows (d, t) of each prompt without those like BOS, which is an outlier and the same in every prompt."""
    bos = preserved.empty[:, :1]
    for encoded in encoder.encode(prompts):
        rows = encoded.rows.T
        yield rows[:, np.abs(rows - bos).max(axis=0) > UNCHANGED * np.abs(bos).max()]


def _witnesses(plan: Plan, request: Request, stream: TextStream, cache: Cache | None) -> Iterator[Witness]:
    """Yield a witness for every name in every context.

    Sentences that the encoder cuts off are left out: no prompt can say them either.
    """
    contexts = plan.contexts(request)
    lookup = encoding.encode_names(stream, ALIGNED.prompts(request, contexts, plan.family.neutral), cache)
    (target,) = target_names(request, plan.family.neutral)
    for name in request.names:
        for context in contexts:
            try:
                encoded, at = lookup.find(context, name)
                other, there = lookup.find(context, target)
            except MissingTokensError:
                continue
            rows, counterparts = aligned_rows(len(encoded.rows), at, there, len(other.rows))
            keys, targets = encoded.rows[rows], other.rows[counterparts]
            changed = np.linalg.norm(keys - targets, axis=1) > UNCHANGED * np.linalg.norm(keys, axis=1)
            if changed.any():
                places = tuple(int(row) for row in rows[changed])
                weights = _weights(encoded)[rows[changed]]
                yield Witness(request.concept, encoded.prompt, places, keys[changed].T, targets[changed].T, weights)


def _weights(encoded: EncodedPrompt) -> Array:
    """Return how much each row (t,) of a sentence counts: 1, but all padding rows together count 1.

    Padding is most of a short sentence, and its rows are nearly equal. If each counted 1, a sentence whose word can be
    restored would pass as safe because its padding cannot.
    """
    weights = np.ones(len(encoded.rows))
    padding = slice(last_text_row(encoded) + 2, None)
    weights[padding] = 1 / max(1, len(weights[padding]))
    return weights
