"""Pictures of the certificate's attack: the erased concept's prompts, with every row that the target would change
replaced by the one that comes nearest to it in the edited projections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from editc.core.ir import Array
from editc.core.measurements import Attack, Certificate, Claim, Picture
from editc.core.ports import Context, Encoder
from editc.passes.images.painting import pictures
from editc.passes.images.painting.pictures import Print


def paint_attacks(
    prints: Sequence[Print],
    certificates: Sequence[Certificate],
    changed: Mapping[str, Array],
    ctx: Context,
    batch: int,
) -> tuple[Print, ...]:
    """The prints of erased concepts again, same seeds, `after` painted from the attack on their prompt.

    What stood before the phrase stays; so do rows past the end of the longer of the two sentences. Prompts without
    an attack are left out; so are all where the pipeline cannot be given rows.
    """
    found = {one.prompt: one for certificate in certificates for one in certificate.attacks}
    todo = [one for one in prints if one.shot.erased and one.shot.prompt in found]
    if not todo or ctx.encoder is None or ctx.painter is None or not ctx.painter.reads_rows:
        return ()
    chunks: Iterable[Any] = [todo[start : start + batch] for start in range(0, len(todo), batch)]
    watched: Iterable[Any] = ctx.progress("attack", chunks) if ctx.progress else chunks
    return tuple(one for chunk in watched for one in _painted(chunk, found, changed, ctx))


def rows(encoder: Encoder, attacks: Sequence[Attack]) -> Array:
    """What an attacker feeds the model, (n, t, d): each prompt's own rows with the attack's in their places."""
    encoded = encoder.encode([one.prompt for one in attacks])
    whole = np.array([one.rows for one in encoded])
    for mine, attack in zip(whole, attacks, strict=True):
        mine[list(attack.rows)] = attack.points.T
    return whole


def claims(prints: Sequence[Print]) -> Iterator[Claim]:
    """`attacked`: the share of a concept's attack pictures that show it; nothing of those that nobody judged."""
    for concept in dict.fromkeys(one.shot.concept for one in prints if one.shot.judged):
        shown = [one.shown_after.any() for one in prints if one.shot.concept == concept]
        yield Claim("attacked", float(np.mean(shown)), subject=concept, unit="share")


def albums(prints: Sequence[Print]) -> tuple[Picture, ...]:
    """The prints as the report keeps them."""
    return tuple(replace(one, attack=True) for one in pictures.albums(prints))


def _painted(
    chunk: Sequence[Print], found: Mapping[str, Attack], changed: Mapping[str, Array], ctx: Context
) -> Iterator[Print]:
    assert ctx.encoder is not None and ctx.painter is not None
    shots = [one.shot for one in chunk]
    fed = rows(ctx.encoder, [found[shot.prompt] for shot in shots])
    after = ctx.painter.paint_rows(fed, [shot.seed for shot in shots], changed)
    saw = pictures.judge_pictures(shots, after, ctx.detector)
    for one, picture, shown in zip(chunk, after, saw, strict=True):
        yield replace(one, after=picture, shown_after=shown)
