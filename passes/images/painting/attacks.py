"""Painting attacks: the prompts of erased concepts once more, with an attack's rows in place of their own."""

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
from editc.passes.images.painting.pictures import PicturePair
from editc.registry.attacks import ATTACKS


def paint_attacks(
    names: Sequence[str],
    pairs: Sequence[PicturePair],
    certificates: Sequence[Certificate],
    changed: Mapping[str, Array],
    ctx: Context,
    batch: int,
) -> tuple[PicturePair, ...]:
    """Paint every erased concept's pictures again, with the same seeds, from each named attack on their prompts.

    Returns the pairs with the attack's picture as `after`. Prompts that an attack does not suit are left out. Returns
    () where the pipeline cannot paint from rows. Raises E139 where a plugin's attack cannot be used.
    """
    if ctx.encoder is None or ctx.painter is None or not ctx.painter.reads_rows:
        return ()
    erased = [one for one in pairs if one.task.erased]
    todo: list[tuple[str, list[PicturePair]]] = []
    for name in names:
        attack: PictureAttack = ATTACKS.resolve(name)
        mine = [one for one in erased if attack.suits(one.task.prompt, certificates)]
        todo += [(name, mine[start : start + batch]) for start in range(0, len(mine), batch)]
    if not todo:
        return ()
    steps: Iterable[Any] = ctx.progress("attack", todo) if ctx.progress else todo
    return tuple(one for name, chunk in steps for one in _paint_chunk(name, chunk, certificates, changed, ctx))


def claims(pairs: Sequence[PicturePair]) -> Iterator[Claim]:
    """Yield `attacked` of each judged concept: the share of its attack pictures that show it, over all attacks."""
    for concept in dict.fromkeys(one.task.concept for one in pairs if one.task.concepts):
        shown = [one.shown_after.any() for one in pairs if one.task.concept == concept]
        yield Claim("attacked", float(np.mean(shown)), subject=concept, unit="share")


def report_pictures(pairs: Sequence[PicturePair]) -> tuple[Picture, ...]:
    """Return the attack pictures in the form of the report."""
    return tuple(replace(one, attack=True) for one in pictures.report_pictures(pairs))


def _paint_chunk(
    name: str,
    chunk: Sequence[PicturePair],
    certificates: Sequence[Certificate],
    changed: Mapping[str, Array],
    ctx: Context,
) -> Iterator[PicturePair]:
    """Paint and judge one attack on a batch of pictures."""
    assert ctx.painter is not None
    tasks = [one.task for one in chunk]
    after = ctx.painter.paint_rows(_attack_rows(name, chunk, certificates, ctx), [task.seed for task in tasks], changed)
    judged = pictures.judge_pictures(tasks, after, ctx.detector)
    for one, picture, shown in zip(chunk, after, judged, strict=True):
        yield replace(one, after=picture, shown_after=shown)


def _attack_rows(name: str, chunk: Sequence[PicturePair], certificates: Sequence[Certificate], ctx: Context) -> Array:
    """Return the attack's rows (n, t, d) for n pictures. Raises E139 where a plugin gives something else."""
    attack: PictureAttack = ATTACKS.resolve(name)
    fed = np.asarray(attack.rows([one.task.prompt for one in chunk], certificates, ctx))
    sound = fed.ndim == 3 and len(fed) == len(chunk) and bool(np.isfinite(fed).all())
    if name in ATTACKS.plugins() and not sound:
        raise ATTACKS.broken(name, f"gives an array {fed.shape}: it must give finite (t, d) for {len(chunk)} prompts")
    return fed
