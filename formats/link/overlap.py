"""Measure how the edits of linked deltas interfere, site by site, from factors and weights alone; no prompt is
encoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import Any

import numpy as np

from editc.core.delta import Delta
from editc.formats.link.link import Arrangement, SiteEdit, site_weight
from editc.formats.models.model import Model
from editc.numerics.bits import terms
from editc.numerics.subspace import principal_cosines


@dataclass(frozen=True)
class DeltaPair:
    """Two deltas that edit the same site."""

    first: int
    """The number of the first delta."""
    second: int
    """The number of the second delta."""
    angles: tuple[float, ...]
    """Cosines of the principal angles between the row spaces of their right factors, from the largest down. 1: the
    edits share a direction of keys; 0: they read different ones. Empty where an edit is dense."""
    alignment: float
    """The cosine between the two changes of the weight, <dW_1, dW_2> / (|dW_1| |dW_2|)."""


@dataclass(frozen=True)
class Overlap:
    """One site that several deltas edit."""

    component: str
    """The component of the site."""
    name: str
    """The tensor's name."""
    deltas: tuple[int, ...]
    """The numbers of the deltas."""
    sizes: tuple[float, ...]
    """|dW| / |W| of each delta, in the order of `deltas`."""
    pairs: tuple[DeltaPair, ...]
    """Every pair of these deltas."""
    form: str
    """The form of the linked edit."""
    rank: int
    """The rank of the linked edit; of a dense one, the smaller dimension of the matrix."""
    exact: bool
    """True where the factors stand side by side unchanged; else those of the linked edit were rounded to float32 once
    more."""


def measure_overlaps(arrangement: Arrangement, linked: Delta, model: Model) -> Iterator[Overlap]:
    """Each site that more than one delta edits, by component and name. One weight is in memory at a time."""
    known: dict[Any, tuple[float, ...]] = {}
    made = {index: (f, k) for f in linked.factors.values() for k, index in enumerate(f.sites)}
    weights = {part: model.component(part) for part in {part for part, _ in arrangement.overlap}}
    numbers = {(record.site.component, record.site.name): index for index, record in enumerate(linked.sites)}
    for place, edits in arrangement.overlap.items():
        W = site_weight(edits[0].record.site, weights)
        factors, k = made[numbers[place]]
        rank = min(W.shape) if not factors.right else len(factors.right[k if len(factors.right) > 1 else 0])
        sizes, pairs = _measure_pairs(edits, W, known)
        orders = tuple(edit.order for edit in edits)
        yield Overlap(*place, orders, sizes, pairs, factors.form, rank, _is_exact(arrangement, edits))


def as_json(overlap: Overlap) -> Mapping[str, Any]:
    """The overlap as plain JSON values."""
    pairs = [vars(pair) | {"angles": list(pair.angles)} for pair in overlap.pairs]
    return vars(overlap) | {"deltas": list(overlap.deltas), "sizes": list(overlap.sizes), "pairs": pairs}


def _measure_pairs(
    edits: tuple[SiteEdit, ...], W: Any, known: dict[Any, tuple[float, ...]]
) -> tuple[tuple[float, ...], tuple[DeltaPair, ...]]:
    """|dW| / |W| of each edit of a site with the weight W (d_out, d_in), and every pair of the edits.

    `known` keeps the angles that were computed: see `_angles`.
    """
    every = [edit.term() for edit in edits]
    norms = [sqrt(max(0.0, terms.inner_product(term, term, W))) for term in every]
    pairs = []
    for i, j in combinations(range(len(every)), 2):
        whole = norms[i] * norms[j]
        alignment = terms.inner_product(every[i], every[j], W) / whole if whole else 0.0
        pairs.append(DeltaPair(edits[i].order, edits[j].order, _angles(edits[i], edits[j], known), alignment))
    size = float(np.linalg.norm(W))
    return tuple(norm / size if size else 0.0 for norm in norms), tuple(pairs)


def _angles(one: SiteEdit, other: SiteEdit, known: dict[Any, tuple[float, ...]]) -> tuple[float, ...]:
    """The cosines for `DeltaPair.angles`, computed once for sites that share their right factors; `known` keeps
    them."""
    first, second = one.term().right, other.term().right
    if first is None or second is None:
        return ()
    key = tuple((t.order, t.group, t.k if len(t.factors.right) > 1 else 0) for t in (one, other))
    if key not in known:
        known[key] = tuple(float(c) for c in principal_cosines(first, second))
    return known[key]


def _is_exact(arrangement: Arrangement, edits: tuple[SiteEdit, ...]) -> bool:
    """See `Overlap.exact`."""
    forms = [edit.factors.form for edit in edits]
    return len(set(forms)) == 1 and "dense" not in forms and not (arrangement.composed and "shared" in forms)
