"""Orders of slices, and how many deletions they bear: the closed form is what drawing deletions gives."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from editc.stacking.orders import cyclic_orders, deletion_rate, kept_part


def test_every_order_begins_with_another_slice_and_has_them_all() -> None:
    assert cyclic_orders((1, 2, 4), 2) == ((1, 2, 4), (2, 4, 1))
    orders = cyclic_orders(range(1, 6), 99)
    assert len(orders) == 5 == len({one[0] for one in orders}) and all(sorted(one) == [1, 2, 3, 4, 5] for one in orders)


def test_a_deletion_leaves_what_was_learned_before_it() -> None:
    assert kept_part((3, 1, 2), []) == (3, 1, 2)
    assert kept_part((3, 1, 2), [2]) == (3, 1) == kept_part((3, 1, 2), [2, 2])
    assert kept_part((3, 1, 2), [3, 2]) == ()


def drawn(shards: int, slices: int, orders: int, generator: np.random.Generator) -> int:
    """Deletions until no shard has an order left, drawn one by one."""
    every = [cyclic_orders(range(slices), orders)] * shards
    deleted: list[set[int]] = [set() for _ in range(shards)]
    for count in range(1, 10**6):
        deleted[generator.integers(shards)].add(int(generator.integers(slices)))
        if not any(kept_part(one, gone) for some, gone in zip(every, deleted, strict=True) for one in some):
            return count
    raise AssertionError


@pytest.mark.parametrize(("shards", "slices", "orders"), [(1, 4, 1), (1, 4, 4), (2, 3, 2), (3, 4, 1)])
def test_the_closed_form_is_the_mean_of_what_is_drawn(shards: int, slices: int, orders: int) -> None:
    generator = np.random.default_rng(0)
    counts = [drawn(shards, slices, orders, generator) for _ in range(2000)]
    error = np.std(counts) / len(counts) ** 0.5
    assert abs(np.mean(counts) - float(deletion_rate(shards, slices, orders))) < 4 * error


def test_orders_beyond_one_a_slice_put_off_nothing() -> None:
    assert (
        deletion_rate(1, 4, 4) == deletion_rate(1, 4, 24) == 4 * (1 + Fraction(1, 2) + Fraction(1, 3) + Fraction(1, 4))
    )
    assert deletion_rate(1, 4, 1) == 4
