"""Keys paired with targets: what a key rule makes of one prompt."""

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
    """The rows of one prompt that are edited (keys), each with its target, as columns."""

    keys: Array
    """(d, m): the rows before the edit."""
    targets: Array
    """(d, m): the rows whose outputs the keys are to have."""
    weights: Array
    """(m,): how much each pair counts, before the weights of an edit are normalised."""
    labels: tuple[str, ...]
    """(m,): `prompt [row]`, for the report."""
    row_kinds: tuple[str, ...] = ()
    """(m,): where each row stands in its prompt (`phrases.row_kinds`); () for rules that take bare names."""
    pulls: Array = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """(k, d, m): what `moderate` adds to the keys for each of its k concepts at share 1. Only read for `moderate`."""


def target_names(request: Request, neutral: str) -> list[str]:
    """Return the names of an edit's targets: its `to`, or `neutral` where it has none; for `moderate` all of
    `toward`."""
    if request.kind == "moderate":
        return [name for name, _ in request.toward]
    return [neutral if request.to is None else request.to]


def target_shares(request: Request) -> list[float]:
    """Return the share of each target in `target_names`: 1 for a single target."""
    return [share for _, share in request.toward] if request.kind == "moderate" else [1.0]


def moderate_targets(keys: Array, pulls: Array, shares: Sequence[float]) -> Array:
    """Return the targets c + sum_k share_k pull_k, (d, m), of keys c (d, m) and pulls (k, d, m)."""
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
    """Pair the rows c of one prompt with targets c + sum_k share_k (a_k - c), where a_k is the row of the k-th target.

    `others` are the same prompt with each target in place of the concept at `at`. `counterparts` maps, for each of
    them, a row here to its row there. Rows with weight 0, or without a counterpart in every prompt, are left out.
    `weights` is (t,), `shares` one number for each target.
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
