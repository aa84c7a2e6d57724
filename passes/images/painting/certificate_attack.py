"""The certificate's attack: erased prompts again, with the nearest row in place of each that the target would change.

The nearest row is the one that comes closest to the original in the edited projections. Rows before the phrase stay,
and so do rows past the end of the longer of the two sentences. `verify.attacks` has further attacks
(`editc.passes.images.attacks`); this one needs no gradient and is painted wherever pictures are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from editc.core.delta import Array
from editc.core.measurements import Attack, Certificate, Claim, Picture
from editc.core.ports import Context, Encoder
from editc.passes.images.painting import pictures
from editc.passes.images.painting.pictures import PicturePair


def paint_attacks(
    pairs: Sequence[PicturePair],
    certificates: Sequence[Certificate],
    changed: Mapping[str, Array],
    ctx: Context,
    batch: int,
) -> tuple[PicturePair, ...]:
    """Paint every erased concept's pictures again, with the same seeds, from the certificate's rows for their prompts.

    Returns the pairs with the attack's picture as `after`. Prompts without a certificate are left out. Returns () where
    the pipeline cannot paint from rows.
    """
    if ctx.encoder is None or ctx.painter is None or not ctx.painter.reads_rows:
        return ()
    found = {one.prompt: one for certificate in certificates for one in certificate.attacks}
    todo = [one for one in pairs if one.task.erased and one.task.prompt in found]
    chunks = [todo[start : start + batch] for start in range(0, len(todo), batch)]
    if not chunks:
        return ()
    steps: Iterable[Any] = ctx.progress("attack", chunks) if ctx.progress else chunks
    return tuple(one for chunk in steps for one in _paint_chunk(chunk, found, changed, ctx))


def claims(pairs: Sequence[PicturePair]) -> Iterator[Claim]:
    """Yield `attacked` of each judged concept: the share of its attack pictures that show it, over all attacks."""
    for concept in dict.fromkeys(one.task.concept for one in pairs if one.task.concepts):
        shown = [one.shown_after.any() for one in pairs if one.task.concept == concept]
        yield Claim("attacked", float(np.mean(shown)), subject=concept, unit="share")


def report_pictures(pairs: Sequence[PicturePair]) -> tuple[Picture, ...]:
    """Return the attack pictures in the form of the report."""
    return tuple(replace(one, attack=True) for one in pictures.report_pictures(pairs))


def replace_rows(encoder: Encoder, attacks: Sequence[Attack]) -> Array:
    """Return the rows of each attack's prompt with the attack's rows put in, (n, t, d)."""
    encoded = encoder.encode([one.prompt for one in attacks])
    whole = np.array([one.rows for one in encoded])
    for mine, attack in zip(whole, attacks, strict=True):
        mine[list(attack.rows)] = attack.points.T
    return whole


def _paint_chunk(
    chunk: Sequence[PicturePair], found: Mapping[str, Attack], changed: Mapping[str, Array], ctx: Context
) -> Iterator[PicturePair]:
    """Paint and judge the attacks on a batch of pictures."""
    assert ctx.painter is not None and ctx.encoder is not None
    tasks = [one.task for one in chunk]
    rows = replace_rows(ctx.encoder, [found[task.prompt] for task in tasks])
    after = ctx.painter.paint_rows(rows, [task.seed for task in tasks], changed)
    judged = pictures.judge_pictures(tasks, after, ctx.detector)
    for one, picture, shown in zip(chunk, after, judged, strict=True):
        yield replace(one, after=picture, shown_after=shown)
