"""A sum of many matrices is what adding them in float64 gives."""

from __future__ import annotations

import numpy as np
import pytest

from editc.numerics.running import TOGETHER, RunningSum


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("count", [1, TOGETHER - 1, 3 * TOGETHER + 2])
def test_a_running_sum_is_the_sum(dtype: type[np.floating], half: bool, count: int) -> None:
    random = np.random.default_rng(0)
    every = random.standard_normal((count, 300, 300)).astype(dtype)
    if half:
        every = np.tril(every)
    running = RunningSum.of(300, half)
    for one in every:
        running.add(one)
    exact = every.astype(np.float64).sum(axis=0)
    scale = np.abs(every.astype(np.float64)).sum(axis=0).max()
    assert np.abs(running.value() - exact).max() <= 5e-7 * scale
    assert np.abs(running.value() - exact).max() <= 1e-13 * scale or dtype == np.float32


def test_what_is_added_is_left_as_it_was_and_a_value_may_be_asked_for_in_between() -> None:
    one = np.ones((4, 4), np.float32)
    running = RunningSum.of(4)
    for count in range(1, 20):
        running.add(one)
        assert np.array_equal(running.value(), np.full((4, 4), float(count)))
    assert np.array_equal(one, np.ones((4, 4)))
