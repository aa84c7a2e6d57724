"""The orders in which slices are learned, and what deletions leave of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction


def cyclic_orders(slices: Sequence[int], count: int) -> tuple[tuple[int, ...], ...]:
    """`count` orders of the slices, at most one for each: every order begins one slice later, and goes round.

    An order is lost when its first slice is deleted, so that what counts is how many first slices differ.
    """
    return tuple((*slices[i:], *slices[:i]) for i in range(min(count, len(slices))))


def kept_part(order: Sequence[int], deleted: Iterable[int]) -> tuple[int, ...]:
    """The slices of an order that are learned before the first deleted one: what deletions leave."""
    gone = set(deleted)
    first = next((i for i, one in enumerate(order) if one in gone), len(order))
    return tuple(order[:first])


def deletion_rate(shards: int, slices: int, orders: int) -> Fraction:
    """The expected number of deletions, each of a slice that is drawn anew from all `shards` times `slices`, until no
    shard has an order left.

    Every first slice of every shard must have been drawn: m min(B, L) coupons of m L, for m shards, L slices and B
    orders. That takes m L (1 + 1/2 + ... + 1/(m min(B, L))) draws. SISA with slices is the same with B = 1.
    """
    coupons = shards * min(orders, slices)
    return shards * slices * sum((Fraction(1, i) for i in range(1, coupons + 1)), Fraction(0))
