"""Pictures of attacks: an erased concept's prompts again, with what an attack feeds the edited model in their place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from editc.core.delta import Array
from editc.core.measurements import Certificate, Claim, Picture
from editc.core.ports import Context
from editc.passes.images.painting import pictures
from editc.passes.images.painting.attack import PictureAttack
from editc.passes.images.painting.pictures import Print
from editc.registry.attacks import ATTACKS


def paint_attacks(
    names: Sequence[str],
    prints: Sequence[Print],
    certificates: Sequence[Certificate],
    changed: Mapping[str, Array],
    ctx: Context,
    batch: int,
) -> tuple[Print, ...]:
    """The prints of erased concepts again, same seeds, `after` painted from each named attack on their prompt.

    Prompts that an attack does not suit are left out; so are all where the pipeline cannot be given rows. E139 for an
    attack of a plugin that is no attack.
    """
    if ctx.encoder is None or ctx.painter is None or not ctx.painter.reads_rows:
        return ()
    erased = [one for one in prints if one.shot.erased]
    todo: list[tuple[str, list[Print]]] = []
    for name in names:
        attack: PictureAttack = ATTACKS.resolve(name)
        mine = [one for one in erased if attack.suits(one.shot.prompt, certificates)]
        todo += [(name, mine[start : start + batch]) for start in range(0, len(mine), batch)]
    if not todo:
        return ()
    watched: Iterable[Any] = ctx.progress("attack", todo) if ctx.progress else todo
    return tuple(one for name, chunk in watched for one in _painted(name, chunk, certificates, changed, ctx))


def claims(prints: Sequence[Print]) -> Iterator[Claim]:
    """`attacked`: the share of a concept's attack pictures, of all attacks, that show it; nothing of those that nobody
    judged."""
    for concept in dict.fromkeys(one.shot.concept for one in prints if one.shot.judged):
        shown = [one.shown_after.any() for one in prints if one.shot.concept == concept]
        yield Claim("attacked", float(np.mean(shown)), subject=concept, unit="share")


def albums(prints: Sequence[Print]) -> tuple[Picture, ...]:
    """The prints as the report keeps them."""
    return tuple(replace(one, attack=True) for one in pictures.albums(prints))


def _painted(
    name: str, chunk: Sequence[Print], certificates: Sequence[Certificate], changed: Mapping[str, Array], ctx: Context
) -> Iterator[Print]:
    assert ctx.painter is not None
    shots = [one.shot for one in chunk]
    after = ctx.painter.paint_rows(_rows(name, chunk, certificates, ctx), [shot.seed for shot in shots], changed)
    saw = pictures.judge_pictures(shots, after, ctx.detector)
    for one, picture, shown in zip(chunk, after, saw, strict=True):
        yield replace(one, after=picture, shown_after=shown)


def _rows(name: str, chunk: Sequence[Print], certificates: Sequence[Certificate], ctx: Context) -> Array:
    """What the attack feeds the model. E139 where a plugin's gives anything but one (t, d) for each prompt."""
    attack: PictureAttack = ATTACKS.resolve(name)
    fed = np.asarray(attack.rows([one.shot.prompt for one in chunk], certificates, ctx))
    sound = fed.ndim == 3 and len(fed) == len(chunk) and bool(np.isfinite(fed).all())
    if name in ATTACKS.plugins() and not sound:
        raise ATTACKS.broken(name, f"gives an array {fed.shape}: it must give finite (t, d) for {len(chunk)} prompts")
    return fed
