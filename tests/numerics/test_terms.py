"""Several edits of one weight as one: the algebra against plain matrices, and angles of planes that are known."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from editc.numerics.bits.terms import Term, compose, inner_product, sum_terms, to_low_rank
from editc.numerics.subspace import principal_cosines

Array = NDArray[np.float64]
FORMS = ("shared", "low-rank", "dense")
D_OUT, D_IN = 7, 5
SEEDS = st.integers(0, 2**32 - 1)


def term(form: str, rng: Any, rank: int = 2) -> Term:
    if form == "dense":
        return Term(form, rng.normal(size=(D_OUT, D_IN)))
    rows = D_IN if form == "shared" else D_OUT
    return Term(form, rng.normal(size=(rows, rank)), rng.normal(size=(rank, D_IN)))


def applied(one: Term, W: Array) -> Array:
    """W' of one edit, by its definition."""
    if one.right is None:
        return W + one.left
    return W + ((W @ one.left) if one.form == "shared" else one.left) @ one.right


@given(SEEDS, st.lists(st.sampled_from(FORMS), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_sum_is_the_base_and_every_change(seed: int, forms: list[str]) -> None:
    rng = np.random.default_rng(seed)
    W, every = rng.normal(size=(D_OUT, D_IN)), [term(form, rng) for form in forms]
    wanted = W + sum(applied(one, W) - W for one in every)
    assert np.allclose(applied(sum_terms(every, W), W), wanted, rtol=0, atol=1e-12)


@given(SEEDS, st.lists(st.sampled_from(FORMS), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_composition_is_each_edit_applied_to_what_is_left(seed: int, forms: list[str]) -> None:
    rng = np.random.default_rng(seed)
    W, every = rng.normal(size=(D_OUT, D_IN)), [term(form, rng) for form in forms]
    wanted = W
    for one in every:
        wanted = applied(one, wanted)
    got = sum_terms(compose(every, W), W)
    assert np.allclose(applied(got, W), wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


def test_the_order_of_a_composition_counts_and_that_of_edits_that_add_does_not() -> None:
    rng = np.random.default_rng(0)
    W = rng.normal(size=(D_OUT, D_IN))
    for forms, alike in ((("shared", "shared"), False), (("low-rank", "dense"), True), (("dense", "shared"), False)):
        one, other = (term(form, rng) for form in forms)
        there, back = (applied(sum_terms(compose(p, W), W), W) for p in ((one, other), (other, one)))
        assert np.allclose(there, back, rtol=0, atol=1e-12) == alike, forms


def test_ranks_add_and_shared_edits_need_no_weight() -> None:
    rng = np.random.default_rng(1)
    every = [term("shared", rng, rank) for rank in (1, 2, 3)]
    for order in permutations(every):
        for got in (sum_terms(order, None), sum_terms(compose(order, None), None)):
            assert got.form == "shared" and got.right is not None and got.right.shape == (6, D_IN)
    with pytest.raises(ValueError, match="needs the weight"):
        sum_terms([term("shared", rng), term("low-rank", rng)], None)


@given(SEEDS, st.sampled_from(FORMS), st.sampled_from(FORMS))
@settings(max_examples=40, deadline=None)
def test_the_inner_product_is_that_of_the_changes(seed: int, first: str, second: str) -> None:
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(D_OUT, D_IN))
    one, other = term(first, rng), term(second, rng)
    wanted = np.sum((applied(one, W) - W) * (applied(other, W) - W))
    assert inner_product(one, other, W) == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    assert to_low_rank(one, W).form == ("dense" if first == "dense" else "low-rank")


@given(SEEDS, st.lists(st.floats(0, np.pi / 2), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_principal_angles_of_planes_that_are_known(seed: int, angles: list[float]) -> None:
    """Plane one is spanned by e_i, plane two by cos(t_i) e_i + sin(t_i) f_i, in a turned space, each by mixed rows."""
    rng, n = np.random.default_rng(seed), len(angles)
    turn = np.linalg.qr(rng.normal(size=(2 * n + 3, 2 * n + 3)))[0]
    one = turn[:n]
    two = np.cos(angles)[:, None] * turn[:n] + np.sin(angles)[:, None] * turn[n : 2 * n]
    mixed = [(rng.normal(size=(n, n)) + 3 * n * np.eye(n)) @ plane for plane in (one, two)]
    assert np.allclose(principal_cosines(*mixed), np.sort(np.cos(angles))[::-1], rtol=0, atol=1e-9)
    assert np.allclose(principal_cosines(*mixed[::-1]), principal_cosines(*mixed), rtol=0, atol=1e-12)


def test_dependent_rows_and_rows_of_zero_do_not_count() -> None:
    rows = np.eye(6)[:2]
    doubled = np.vstack([rows, rows.sum(axis=0), np.zeros(6)]).astype(np.float32).astype(np.float64)
    assert np.allclose(principal_cosines(doubled, rows), [1, 1]) and np.allclose(
        principal_cosines(doubled, np.eye(6)[4:]), [0, 0]
    )
    assert principal_cosines(np.zeros((1, 6)), rows).size == 0
