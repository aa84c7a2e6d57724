"""Edited keys and their targets as columns, from prompts: context-aligned rows, and the published rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from editc.ir import Array, Family
from editc.passes import keys
from editc.passes.phrases import Book, last_subject, spoken
from editc.ports import Encoded
from editc.request import KeyRule, Request


@dataclass(frozen=True)
class Columns:
    """Keys and targets (d, m) from one prompt, each column labelled `prompt [row]`."""

    keys: Array
    targets: Array
    labels: tuple[str, ...]


def needed(request: Request, rule: KeyRule, contexts: Sequence[str], family: Family) -> list[str]:
    """Every prompt that `columns` will look up."""
    names = [*request.names, *aims(request, family)]
    if rule == "aligned":
        return [spoken(context, name) for name in names for context in contexts]
    return [*names, " "]


def aims(request: Request, family: Family) -> list[str]:
    """What the concept is sent to: its target or the family's neutral concept; for `moderate` the shares' concepts."""
    if request.kind == "moderate":
        return [name for name, _ in request.toward]
    return [family.neutral if request.to is None else request.to]


def columns(request: Request, rule: KeyRule, contexts: Sequence[str], family: Family, book: Book) -> list[Columns]:
    """All columns of a request by its rule; UnspokenError when a name leaves no token."""
    found = _aligned(request, contexts, family, book) if rule == "aligned" else _published(request, rule, family, book)
    return list(found)


def _aligned(request: Request, contexts: Sequence[str], family: Family, book: Book) -> Iterator[Columns]:
    """Every name in every context against the same context with the target: rows as `keys.aligned` pairs them."""
    shares = [share for _, share in request.toward] if request.kind == "moderate" else [1.0]
    for name in request.names:
        for context in contexts:
            encoded, at = book.find(context, name)
            others = [book.find(context, other) for other in aims(request, family)]
            yield _moved(encoded, at, [(share, *other) for share, other in zip(shares, others, strict=True)])


def _moved(encoded: Encoded, at: keys.Phrase, pulls: Sequence[tuple[float, Encoded, keys.Phrase]]) -> Columns:
    """Keys c and targets c + sum_k share_k (a_k - c), over the rows that have a counterpart in every a_k."""
    maps = [dict(zip(*keys.aligned(len(encoded.rows), at, phrase), strict=True)) for _, _, phrase in pulls]
    rows = [row for row in range(len(encoded.rows)) if all(row in found for found in maps)]
    sources = encoded.rows[rows]
    targets = sources.copy()
    for (share, other, _), found in zip(pulls, maps, strict=True):
        targets += share * (other.rows[[found[row] for row in rows]] - sources)
    return Columns(sources.T, targets.T, tuple(f"{encoded.prompt} [{row}]" for row in rows))


def _published(request: Request, rule: KeyRule, family: Family, book: Book) -> Iterator[Columns]:
    """UCE's own keys, bare name against bare target; debiasing adds share_k a_k to the last key, as published."""
    for name in request.names:
        old, _ = book.find("{}", name)
        row = last_subject(old)
        if request.kind == "moderate":
            others = [(share, book.find("{}", other)[0]) for other, share in request.toward]
            pull = np.sum([share * other.rows[last_subject(other)] for share, other in others], axis=0)
            yield Columns(old.rows[[row]].T, (old.rows[row] + pull)[:, None], (f"{name} [{row}]",))
            continue
        (target,) = aims(request, family)
        new = book.entries[target or ("" if rule == "last" else " ")]
        pick = keys.last if rule == "last" else keys.span
        pair = pick(old.rows, row, new.rows, last_subject(new))
        yield Columns(pair.keys, pair.targets, tuple(f"{name} [{r}]" for r in pair.rows))
