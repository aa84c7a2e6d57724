"""Keys in pairs with their targets, as columns, from one prompt: what a key rule makes and a solver takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Request
from editc.core.ports import EncodedPrompt
from editc.passes.images.rows.phrases import Phrase, row_kinds


@dataclass(frozen=True)
class KeyPairs:
    """The rows of one prompt that are edited, and where each is sent."""

    keys: Array
    """(d, m): the rows as they are, a column each."""
    targets: Array
    """(d, m): the rows that they are sent to."""
    weights: Array
    """(m,): what each counts, before the share of its edit."""
    labels: tuple[str, ...]
    """(m,): `prompt [row]`, for the report."""
    row_kinds: tuple[str, ...] = ()
    """(m,): which kind of row each is (`phrases.places`); () where the rule takes bare names."""
    pulls: Array = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """(k, d, m): what `moderate` adds to the keys, for each of its k concepts at share 1; empty for other edits."""


def target_names(request: Request, neutral: str) -> list[str]:
    """The names that a concept is sent to: its target, or `neutral` where it has none; for `moderate` all shares'."""
    if request.kind == "moderate":
        return [name for name, _ in request.toward]
    return [neutral if request.to is None else request.to]


def target_shares(request: Request) -> list[float]:
    """How much of each of its aims an edit takes; the whole of one target."""
    return [share for _, share in request.toward] if request.kind == "moderate" else [1.0]


def moderate_targets(keys: Array, pulls: Array, shares: Sequence[float]) -> Array:
    """Targets c + sum_k share_k pull_k (d, m), of keys (d, m) and pulls (k, d, m)."""
    targets = keys.copy()
    for share, pull in zip(shares, pulls, strict=True):
        targets += share * pull
    return targets


def pair_rows(
    encoded: EncodedPrompt,
    at: Phrase,
    others: Sequence[EncodedPrompt],
    counterparts: Sequence[Mapping[int, int]],
    weights: Array,
    shares: Sequence[float],
) -> KeyPairs:
    """Keys c and targets c + sum_k share_k (a_k - c), over the rows that weigh and have a counterpart in every a_k.

    `others` are the same prompt with each aim in the place of the concept, `counterparts` the row there for a row here.
    """
    rows = [row for row in range(len(encoded.rows)) if weights[row] > 0 and all(row in one for one in counterparts)]
    keys = encoded.rows[rows].T
    pulls = np.array(
        [other.rows[[one[row] for row in rows]].T - keys for other, one in zip(others, counterparts, strict=True)]
    )
    labels = tuple(f"{encoded.prompt} [{row}]" for row in rows)
    kinds = row_kinds(encoded, at)
    targets = moderate_targets(keys, pulls, shares)
    return KeyPairs(keys, targets, weights[rows], labels, tuple(kinds[row] for row in rows), pulls)
