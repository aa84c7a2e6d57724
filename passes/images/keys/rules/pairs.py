"""Edited keys and their targets as columns, from prompts: rows paired in the same context, and UCE's bare ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from editc.core.family import Family
from editc.core.ir import Array
from editc.core.manifest import KeyRule, Request
from editc.core.ports import Encoded
from editc.passes.images.keys import row_choice
from editc.passes.images.rows.phrases import Book, last_subject, places, spoken

IN_CONTEXTS: frozenset[KeyRule] = frozenset({"aligned", "matched", "eot"})
"""The rules that put a concept into sentences; the others take it bare."""
TEMPLATES: Mapping[str | None, tuple[str, ...]] = {
    None: (),
    "object": tuple(f"{kind} of {{}}" for kind in ("image", "photo", "portrait", "picture", "painting")),
    "art": (*(f"{kind} by {{}}" for kind in ("painting", "art", "artwork", "picture")), "style of {}"),
}
"""What `expand` puts a bare name into besides: the phrases of UCE's 2025 script (`--expand_prompts`)."""


@dataclass(frozen=True)
class Columns:
    """Keys and targets (d, m) from one prompt, each column weighted (m,) and labelled `prompt [row]`.

    `places` (m,) are the kinds of rows, () where the rule takes bare names. `pulls` (k, d, m) are what `moderate` adds
    to the keys, one for each of its shares; the targets are `pulled` by them.
    """

    keys: Array
    targets: Array
    weights: Array
    labels: tuple[str, ...]
    places: tuple[str, ...] = ()
    pulls: Array = field(default_factory=lambda: np.zeros((0, 0, 0)))


def pulled(keys: Array, pulls: Array, shares: Sequence[float]) -> Array:
    """Targets c + sum_k share_k pull_k (d, m), of keys (d, m) and pulls (k, d, m)."""
    targets = keys.copy()
    for share, pull in zip(shares, pulls, strict=True):
        targets += share * pull
    return targets


def needed(request: Request, rule: KeyRule, contexts: Sequence[str], family: Family) -> list[str]:
    """Every prompt that `columns` will look up."""
    return [prompt for said in by_name(request, rule, contexts, family) for prompt in said]


def by_name(request: Request, rule: KeyRule, contexts: Sequence[str], family: Family) -> list[list[str]]:
    """The same, the prompts of each name together."""
    names = [*request.names, *aims(request, family)]
    if rule in IN_CONTEXTS:
        return [[spoken(context, name) for context in contexts] for name in names]
    return [*([spoken(phrase, name) for phrase in _phrases(request)] for name in names), [" "]]


def aims(request: Request, family: Family) -> list[str]:
    """What the concept is sent to: its target or the family's neutral concept; for `moderate` the shares' concepts."""
    if request.kind == "moderate":
        return [name for name, _ in request.toward]
    return [family.neutral if request.to is None else request.to]


def columns(request: Request, rule: KeyRule, contexts: Sequence[str], family: Family, book: Book) -> list[Columns]:
    """All columns of a request by its rule; UnspokenError when a name leaves no token."""
    if rule in IN_CONTEXTS:
        return list(_in_contexts(request, rule, contexts, family, book))
    return list(_published(request, rule, family, book))


def _in_contexts(
    request: Request, rule: KeyRule, contexts: Sequence[str], family: Family, book: Book
) -> Iterator[Columns]:
    """Every name in every context against the same context with the target, rows paired as the rule pairs them."""
    shares = [share for _, share in request.toward] if request.kind == "moderate" else [1.0]
    for name in request.names:
        for context in contexts:
            encoded, at = book.find(context, name)
            others = [book.find(context, other) for other in aims(request, family)]
            maps = [_counterparts(rule, encoded, at, *other) for other in others]
            ends = [other for other, _ in others]
            yield _moved(encoded, at, ends, shares, maps, _weights(rule, encoded, at, request))


def _counterparts(
    rule: KeyRule, encoded: Encoded, at: row_choice.Phrase, other: Encoded, aim: row_choice.Phrase
) -> dict[int, int]:
    total, others = len(encoded.rows), len(other.rows)
    if rule == "eot":
        pair = row_choice.eot(total, at, (_end(encoded), _end(other)), others)
    else:
        pair = (row_choice.aligned if rule == "aligned" else row_choice.matched)(total, at, aim, others)
    return dict(zip(*(rows.tolist() for rows in pair), strict=True))


def _weights(rule: KeyRule, encoded: Encoded, at: row_choice.Phrase, request: Request) -> Array:
    if rule == "eot":
        return row_choice.eot_weights(len(encoded.rows), at, _end(encoded), request.token_weights)
    return np.ones(len(encoded.rows))


def _end(encoded: Encoded) -> int:
    """The row of the first token after the text; of a pooled embedding the one that there is."""
    return min(last_subject(encoded) + 1, len(encoded.rows) - 1)


def _moved(
    encoded: Encoded,
    at: row_choice.Phrase,
    ends: Sequence[Encoded],
    shares: Sequence[float],
    maps: Sequence[dict[int, int]],
    weights: Array,
) -> Columns:
    """Keys c and targets c + sum_k share_k (a_k - c), over the rows that weigh and have a counterpart in every a_k."""
    rows = [row for row in range(len(encoded.rows)) if weights[row] > 0 and all(row in found for found in maps)]
    sources = encoded.rows[rows].T
    pulls = np.array(
        [end.rows[[found[row] for row in rows]].T - sources for end, found in zip(ends, maps, strict=True)]
    )
    labels = tuple(f"{encoded.prompt} [{row}]" for row in rows)
    kinds = places(encoded, at)
    targets = pulled(sources, pulls, shares)
    return Columns(sources, targets, weights[rows], labels, tuple(kinds[row] for row in rows), pulls)


def _published(request: Request, rule: KeyRule, family: Family, book: Book) -> Iterator[Columns]:
    """UCE's own keys, bare name against bare target; debiasing adds share_k a_k to the last key, as published.

    `expand` adds the name in its phrases, each against the same phrase with the target, all of weight 1.
    """
    for phrase, name in ((phrase, name) for name in request.names for phrase in _phrases(request)):
        old, _ = book.find(phrase, name)
        row = last_subject(old)
        if request.kind == "moderate":
            others = [book.find(phrase, other)[0] for other, _ in request.toward]
            pulls = np.array([other.rows[[last_subject(other)]].T for other in others])
            key, label = old.rows[[row]].T, f"{old.prompt} [{row}]"
            targets = pulled(key, pulls, [share for _, share in request.toward])
            yield Columns(key, targets, np.ones(1), (label,), pulls=pulls)
            continue
        (target,) = aims(request, family)
        new = book.entries[spoken(phrase, target) or ("" if rule == "last" else " ")]
        pick = row_choice.last if rule == "last" else row_choice.span
        pair = pick(old.rows, row, new.rows, last_subject(new))
        labels = tuple(f"{old.prompt} [{r}]" for r in pair.rows)
        yield Columns(pair.keys, pair.targets, np.ones(len(pair.rows)), labels)


def _phrases(request: Request) -> tuple[str, ...]:
    """What a bare name is put into: nothing, then the phrases of `expand`."""
    return ("{}", *TEMPLATES[request.expand])
