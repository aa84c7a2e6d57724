"""The quick way to an edited weight gives the bits of the slow one, whatever the BLAS does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from editc.core.delta import Array, Factors, Site
from editc.core.site_bytes import edit_bytes, patch_as_stored
from editc.numerics.bits import dtypes, rounded, row_sums, ties
from editc.numerics.bits.arithmetic import patch, product
from editc.numerics.bits.scratch import Scratch

DTYPES = ("F32", "F16", "BF16")
Single = NDArray[np.float32]
FORMS = ("shared", "low-rank", "dense")


def problem(
    form: str, rows: int, width: int, rank: int, seed: int, size: float = 1.0
) -> tuple[Array, Single, Single | None]:
    rng = np.random.default_rng(seed)
    shape = {"shared": (width, rank), "low-rank": (rows, rank), "dense": (rows, width)}[form]
    left = (size * rng.normal(size=shape)).astype(np.float32)
    right = None if form == "dense" else rng.normal(size=(rank, width)).astype(np.float32)
    return rng.normal(size=(rows, width)) * 10.0 ** rng.integers(-6, 2), left, right


def slow(raw: bytes, dtype: str, width: int, form: str, left: Single, right: Single | None) -> bytes:
    return dtypes.encode(patch(dtypes.decode(raw, dtype, (-1, width)), form, left, right), dtype)


@pytest.mark.parametrize("dtype", (*DTYPES, "F64"))
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 70), width=st.integers(1, 90), rank=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_the_same_bits(dtype: str, form: str, rows: int, width: int, rank: int, seed: int) -> None:
    W, left, right = problem(form, rows, width, rank, seed, 10.0 ** (seed % 7 - 5))
    raw = dtypes.encode(W, dtype)
    assert rounded.edited_rows(raw, dtype, width, form, left, right) == slow(raw, dtype, width, form, left, right)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ("shared", "low-rank"))
def test_ties_zeros_and_what_is_not_finite(dtype: str, form: str) -> None:
    """Dyadic factors put sums exactly between two numbers of the dtype; zeros have signs; overflow and NaN are kept."""
    rng = np.random.default_rng(5)
    rows, width = 64, 32
    W = rng.integers(-4096, 4096, (rows, width)) * 2.0 ** rng.integers(-30, 4, (rows, width))
    W[rng.random(W.shape) < 0.2] = 0.0
    W[rng.random(W.shape) < 0.1] = -0.0
    W[3], W[4, 5], W[5, 6], W[6] = 0.0, np.nan, np.inf, np.float64(dtypes.round_to(np.array([6e4]), dtype)[0])
    right = np.zeros((2, width), np.float32)
    right[0, :9], right[1, 4:20] = 2.0**-9, 2.0**-12
    left = (rng.integers(-2, 3, (width if form == "shared" else rows, 2)) * 0.5).astype(np.float32)
    raw = dtypes.encode(W, dtype)
    with np.errstate(all="ignore"):
        assert rounded.edited_rows(raw, dtype, width, form, left, right) == slow(raw, dtype, width, form, left, right)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_bit_depends_on_the_order_of_the_sums(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick sums moved by as much as an order could move them; and a control: moved by more, bits do change."""
    W, left, right = problem("shared", 200, 300, 8, 1, 0.05)
    assert right is not None
    raw = dtypes.encode(W, dtype)
    wanted, rng = slow(raw, dtype, 300, "shared", left, right), np.random.default_rng(2)
    edit = rounded.Edit("shared", left.astype(float), right.astype(float))
    bound, quick = rounded._error_bound(edit, (dtype,)), rounded._edit_block
    for factor, same in ((1.0, True), (3e8, False)):

        def moved(W: Array, sums: Array, right: Array, value: Array, factor: float = factor) -> None:
            quick(W, sums, right, value)
            size = bound.sum_rows(W, edit.left).size
            value += factor * size[:, None] * bound.columns * rng.uniform(-0.9, 0.9, value.shape)

        monkeypatch.setattr(rounded, "_edit_block", moved)
        assert (rounded.edited_rows(raw, dtype, 300, "shared", left, right) == wanted) == same


@pytest.mark.parametrize("dtype", ("F16", "BF16"))
@pytest.mark.parametrize("exponent", (-30, -38, -50))
def test_what_is_called_certain_rounds_to_one_number(dtype: str, exponent: int) -> None:
    """Sums some steps of float32 from every kind of tie, and errors about as large as the steps: where no doubt is left
    both ends round to what is put out. A control: without doubt there would be others."""
    rng, error, count = np.random.default_rng(-exponent), 1.9 * 2.0**exponent, 200_000
    near = rng.uniform(-1, 1, count) * error * 2.0 ** rng.uniform(18, 30, count)
    low = dtypes.decode(dtypes.encode(near, dtype), dtype, (-1,))
    unsigned = np.frombuffer(dtypes.encode(low, dtype), "<u2")
    tie = (low + dtypes.decode((unsigned + np.uint16(1)).tobytes(), dtype, (-1,))) / 2
    value = np.where(np.isfinite(tie), tie, 0.0) + rng.integers(-14, 15, count) * np.abs(tie) * 2.0**-24
    value += rng.uniform(-1, 1, count) * error
    out, shape = np.empty((count, 1), "<u2"), (count, 1)
    bits, last = np.empty((3, *shape), np.uint32), np.empty(shape, np.uint16)
    space = Scratch(np.empty(shape), np.empty(shape), bits, last, np.empty(shape))
    places = ties.round_block(dtype, value[:, None].copy(), error, space, out)
    certain = np.ones(count, bool)
    certain[ties.settle_ends(dtype, value[places], np.full(len(places), error), places, out)] = False
    assert len(places) > 0
    ends = [np.frombuffer(dtypes.encode(value + side, dtype), "<u2") for side in (-error, error)]
    assert (ends[0] == ends[1])[certain].all() and (out[:, 0] == ends[0])[certain].all()
    assert certain[ends[0] == ends[1]].all() and 0 < (~certain).sum() < count


def test_the_bound_holds_for_every_order() -> None:
    """Sums in random orders, in float64, against those in the fixed order: within e, and e is not absurdly large."""
    W, left, right = problem("shared", 20, 500, 8, 3, 0.1)
    assert right is not None
    wide = left.astype(float), right.astype(float)
    bound = np.linalg.norm(W, axis=1)[:, None] * row_sums.WholeRows.of(True, *wide).columns
    exact, rng = patch(W, "shared", left, right), np.random.default_rng(0)
    for _ in range(5):
        order, inner = rng.permutation(500), rng.permutation(8)
        other = W + (W[:, order] @ wide[0][order])[:, inner] @ wide[1][inner]
        assert (np.abs(other - exact) <= bound).all()
    assert bound.max() < 1e-10 * np.abs(exact).max()


@pytest.mark.parametrize("dtype", (*DTYPES, "F64"))
@pytest.mark.parametrize("form", FORMS)
def test_rows_and_columns_in_pieces(form, dtype, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    W, left, right = problem(form, 37, 21, 3, 8, 0.1)
    factors = Factors(form, (0,), (left,), () if right is None else (right,))
    site = Site("unet", "w", (37, 21), dtype, "k")
    whole = edit_bytes(dtypes.encode(W, dtype), dtype, site, factors, 0)
    pieces = (edit_bytes(dtypes.encode(W[i : i + 5], dtype), dtype, site, factors, 0, i) for i in range(0, 37, 5))
    assert b"".join(pieces) == whole
    turned = Site("unet", "w", (37, 21), dtype, "k", transposed=True)
    raw = dtypes.encode(W.T, dtype)
    expected = dtypes.encode(patch_as_stored(dtypes.decode(raw, dtype, (21, 37)), True, factors, 0), dtype)
    for elements in (1, 100, 1 << 20):
        monkeypatch.setattr("editc.core.site_bytes._ELEMENTS", elements)
        assert edit_bytes(raw, dtype, turned, factors, 0) == expected


@pytest.mark.parametrize("dtype", ("F16", "BF16"))
def test_one_edit_is_rounded_to_several_dtypes(dtype: str) -> None:
    """Values are edited once, whatever they are rounded to; few of them are in doubt."""
    W, left, right = problem("shared", 120, 768, 40, 4, 0.02)
    raw = dtypes.encode(W, dtype)
    for one, found in zip(DTYPES, rounded.round_edited(raw, dtype, DTYPES, 768, "shared", left, right), strict=True):
        values = patch(dtypes.decode(raw, dtype, (-1, 768)), "shared", left, right)
        assert found.raw == dtypes.encode(values, one)
        assert found.doubted <= values.size / 2000


def test_the_closer_bound_holds_for_the_fixed_order() -> None:
    """Where W left is summed block by block, the whole sum is bounded much closer, whatever the order in a block."""
    W, left, right = problem("shared", 30, 2100, 8, 6, 0.1)
    assert right is not None
    singles = left.astype(float), right.astype(float)
    exact = patch(W, "shared", left, right)
    blocks, whole = row_sums.InBlocks.of(*singles), row_sums.WholeRows.of(True, *singles)
    near = blocks.sum_rows(W, singles[0]).size[:, None] * blocks.columns
    far = whole.sum_rows(W, singles[0]).size[:, None] * whole.columns
    rng, step = np.random.default_rng(0), row_sums.BLOCK
    for _ in range(5):
        order = np.concatenate([rng.permutation(np.arange(i, min(i + step, 2100))) for i in range(0, 2100, step)])
        sums = row_sums._sum_blocks(np.ascontiguousarray(W[:, order]), singles[0][order])[0]
        inner = rng.permutation(8)
        assert (np.abs(W + sums[:, inner] @ singles[1][inner] - exact) <= near).all()
    assert np.median(near / far) < 0.1
    found, (row, column) = blocks.sum_rows(W, singles[0]), np.indices(W.shape).reshape(2, -1)
    assert found.errors is not None
    value = W + found.value @ singles[1]
    single = row_sums.bound_single_values(found.errors, singles[1], row, column, value.reshape(-1)).reshape(W.shape)
    assert (np.abs(value - exact) <= single).all() and (single <= near).mean() > 0.99


def test_the_closer_bound_allows_for_what_the_fixed_order_loses_at_every_step() -> None:
    """1 and then 2047 terms, of which each alone is half of the last bit of 1: in the fixed order all are lost."""
    W, left = np.full((1, 2048), 2.0**-26), np.full((2048, 1), 2.0**-27)
    W[0, 0] = left[0, 0] = 1.0
    bound = row_sums.InBlocks.of(left, np.ones((1, 3)))
    sums = bound.sum_rows(W, left)
    lost = float(np.abs(product(W, left) - sums.value)[0, 0])
    assert product(W, left)[0, 0] == 1 and lost > 1900 * row_sums.UNIT_ROUNDOFF
    assert lost <= sums.size[0] * bound.lengths[0] <= 2 * lost


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_blas_that_adds_single_terms_gives_the_bits_of_the_fixed_order(dtype: str) -> None:
    """Where products are exact. Elsewhere, and beside what is not finite, the sum is formed without it."""
    rng = np.random.default_rng(9)
    W = dtypes.round_to(rng.normal(size=(40, 900)) * 10.0 ** rng.integers(-8, 4, (40, 900)), dtype)
    left = rng.normal(size=(900, 130)).astype(np.float32).astype(np.float64)
    assert W.size * left.shape[1] >= row_sums._FEW_TERMS
    for singles in (None, True):
        assert np.array_equal(row_sums.sum_in_order(W, left, singles), product(W, left))
    W[3, 5], W[4, 6], W[5], left[7, 8] = np.nan, np.inf, W[5] / 3, 0.0
    assert np.array_equal(row_sums.sum_in_order(W, left), product(W, left), equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_many_rows_are_summed_and_settled_in_parts(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with elements in doubt in every part, and rows without a bound: those of zeros."""
    W, left, right = problem("shared", 90, 700, 9, 11, 0.05)
    W[13] = 0.0
    raw = dtypes.encode(W, dtype)
    wanted = slow(raw, dtype, 700, "shared", left, right)
    monkeypatch.setattr("editc.numerics.bits.scratch.BLOCK_ELEMENTS", 7 * 700)
    monkeypatch.setattr(row_sums, "QUICK_ELEMENTS", 40 * 700)
    monkeypatch.setattr(rounded, "_SETTLED_ROWS", 4)
    monkeypatch.setattr(row_sums, "_FEW_TERMS", 1)
    assert rounded.edited_rows(raw, dtype, 700, "shared", left, right) == wanted
    bound = row_sums.UNIT_ROUNDOFF
    monkeypatch.setattr(row_sums, "UNIT_ROUNDOFF", 1e6 * bound)
    (found,) = rounded.round_edited(raw, dtype, (dtype,), 700, "shared", left, right)
    assert found.raw == wanted and found.doubted > 700
