"""Measure what an edit leaves of those that were in the model before it: whether their facts are still said, and how
far the outputs at their keys move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from editc.core.delta import Array, Site
from editc.core.language_problem import EarlierEdits
from editc.core.ports import Context
from editc.core.prompts import Spot
from editc.passes.language.verify.base_model import BaseModel
from editc.passes.stored import read_weight

DIGITS = 4
"""Significant digits of what is recorded, as of every figure of a model that runs in float32."""


def measure_earlier(
    sites: Sequence[Site], base: BaseModel, changed: Mapping[str, Array], ctx: Context
) -> Iterator[Mapping[str, Any]]:
    """One record for each delta that was in the model, in the order of application.

    `delta_id`, the names of its `edits`, and `preserved`: whether this build preserved what it wrote. `facts`: how many
    it has, with the shares whose answer is the model's first choice in `before` and `after`, the model as this build
    found it and as it leaves it. `moved`: |D k| / |W k|, D the change of a matrix, the root of the mean square over the
    delta's keys k at the matrix where it is largest. `facts` 0 and `moved` None where it has none.

    `changed`: matrix name -> edited weight, as stored.
    """
    for delta_id, one in ctx.ledger.items():
        yield {
            "delta_id": delta_id,
            "edits": list(dict.fromkeys(group[0].subject for group in one.keys if group[0].subject)),
            "preserved": delta_id in ctx.earlier,
            "facts": len(one.asked),
            **_shares_said(one, base, changed),
            "moved": _moved(one.keys, sites, base, changed, ctx),
        }


def _shares_said(one: EarlierEdits, base: BaseModel, changed: Mapping[str, Array]) -> Mapping[str, float | None]:
    """The shares of a delta's facts whose answers are the first choice, before and after; None without facts."""
    if not one.asked:
        return {"before": None, "after": None}
    tops = base.score(one.asked).top, base.network.score(one.asked, changed).top
    before, after = (_rounded(float(np.mean(top))) for top in tops)
    return {"before": before, "after": after}


def _moved(
    keys: Sequence[Sequence[Spot]], sites: Sequence[Site], base: BaseModel, changed: Mapping[str, Array], ctx: Context
) -> float | None:
    """How far the outputs at a delta's keys move at the matrix where they move most, as a share of their length. None
    without keys."""
    edited = [site for site in sites if site.name in changed]
    every = [spot for group in keys for spot in group]
    spots = [spot for spot, at in zip(every, base.network.positions(every), strict=True) if not at.sink]
    if not spots or not edited:
        return None
    read = base.network.read_keys([site.name for site in edited], spots)
    pairs = [(read_weight(ctx.weights, site), _as_matrix(site, changed)) for site in edited]
    return _rounded(max(_share_moved(*pair, read[site.name]) for pair, site in zip(pairs, edited, strict=True)))


def _as_matrix(site: Site, changed: Mapping[str, Array]) -> Array:
    """The edited weight (d_out, d_in) of a site."""
    return changed[site.name].T if site.transposed else changed[site.name]


def _share_moved(before: Array, after: Array, keys: Array) -> float:
    """|(W' - W) K| / |W K| over the keys (d_in, n); 0 where the outputs have no length."""
    length = float(np.linalg.norm(before @ keys))
    return float(np.linalg.norm((after - before) @ keys)) / length if length else 0.0


def _rounded(value: float) -> float:
    """The value with DIGITS significant digits."""
    return float(f"{value:.{DIGITS - 1}e}")
