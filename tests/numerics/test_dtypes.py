"""Numbers: one rounding where one is allowed, and sums whose bits do not depend on anything."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_files import factors_for

from editc.core.delta import Site
from editc.core.site_bytes import patch_site
from editc.numerics.bits import dtypes
from editc.numerics.bits.arithmetic import product

_FORMATS = {"BF16": (8, -133), "F16": (11, -24), "F32": (24, -149)}
"""Bits of the significand, and the exponent of the smallest positive number."""


def nearest_even(value: float, dtype: str) -> Fraction | None:
    """The correctly rounded value by integer arithmetic; None for overflow."""
    exact, (bits, least) = Fraction(value), _FORMATS[dtype]
    if exact == 0:
        return exact
    scale = max(int(np.floor(np.log2(abs(value)))) - bits, least)  # one too small, put right below
    while abs(exact) / Fraction(2) ** scale >= 2**bits:
        scale += 1
    rounded = round(exact / Fraction(2) ** scale) * Fraction(2) ** scale  # Python rounds Fractions half to even
    top = {"BF16": Fraction(2) ** 128, "F32": Fraction(2) ** 128, "F16": Fraction(2) ** 16}[dtype]
    return None if abs(rounded) >= top else rounded


def bits_to_float(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


awkward = st.one_of(
    st.integers(0, 2**64 - 1).map(bits_to_float),
    st.floats(width=64),
    st.tuples(st.floats(width=16), st.integers(-3, 3)).map(lambda p: float(p[0]) * (1 + p[1] * 2.0**-52)),
    st.tuples(st.integers(0, 2**16 - 1), st.integers(-2, 2)).map(
        lambda p: bits_to_float(((p[0] << 48) | (1 << 47)) + p[1])  # halfway between two short significands, and beside
    ),
    st.tuples(st.integers(1, 2**12), st.integers(-60, 20), st.sampled_from([-1, 0, 1])).map(
        lambda p: (p[0] + 0.5) * 2.0 ** (p[1] - 115) * (1 + p[2] * 2.0**-52)  # around bfloat16's subnormals
    ),
)


@settings(max_examples=1500, deadline=None)
@given(awkward, st.sampled_from(["BF16", "F16", "F32"]))
def test_narrowing_rounds_exactly_once(value: float, dtype: str) -> None:
    got = float(dtypes.round_to(np.array([value]), dtype)[0])
    if np.isnan(value):
        assert np.isnan(got)
    elif np.isinf(value) or (expected := nearest_even(value, dtype)) is None:
        assert got == np.copysign(np.inf, value)
    else:
        assert Fraction(got) == expected
        assert np.signbit(got) == np.signbit(value)


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_every_half_precision_value_comes_back(dtype: str) -> None:
    raw = np.arange(2**16, dtype="<u2").tobytes()
    values = dtypes.decode(raw, dtype, (2**16,))
    back = np.frombuffer(dtypes.encode(values, dtype), "<u2")
    same = back == np.arange(2**16)
    assert same[~np.isnan(values)].all()
    assert np.isnan(dtypes.decode(back.tobytes(), dtype, (2**16,))[np.isnan(values)]).all()
    finite = [dtypes.is_finite(raw[2 * i : 2 * i + 2], dtype) for i in range(0, 2**16, 97)]
    assert finite == np.isfinite(values[::97]).tolist()


@pytest.mark.parametrize("dtype", ("F32", "F16", "BF16", "F8_E4M3"))
def test_float32_has_the_bytes_of_its_float64(dtype: str) -> None:
    """Also where it is not finite, and with zeros of both signs."""
    values = np.random.default_rng(0).normal(size=70_000).astype(np.float32)
    values *= np.float32(2.0) ** np.random.default_rng(1).integers(-140, 120, len(values)).astype(np.float32)
    for part in (values, np.array([0.0, -0.0, 65504, 65520, 1e-45], np.float32)):
        assert dtypes.encode(part, dtype) == dtypes.encode(part.astype(np.float64), dtype)
    special = np.array([np.inf, -np.inf, np.nan, 1.5], np.float32)
    assert dtypes.encode(special, dtype) == dtypes.encode(special.astype(np.float64), dtype)


def test_the_transpose_has_the_hash_of_the_transposed_array() -> None:
    matrix = np.arange(12.0).reshape(3, 4)
    for dtype in dtypes.EDITABLE:
        assert dtypes.transpose(dtypes.encode(matrix, dtype), dtype, (3, 4)) == dtypes.encode(matrix.T.copy(), dtype)


@pytest.mark.parametrize("form", ["shared", "low-rank", "dense"])
def test_arithmetic_is_the_formula_and_chunks_do_not_change_bits(form: str) -> None:
    rng = np.random.default_rng(0)
    W = rng.normal(size=(700, 90))
    factors = factors_for(form, [Site("unet", "w", (700, 90), "F32", "k")], rank=5)  # type: ignore[arg-type]
    whole = patch_site(W, factors, 0)
    left, right = factors.left[0].astype(float), factors.right[0].astype(float) if factors.right else None
    expected = W + left if right is None else W + (W @ left if form == "shared" else left) @ right
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    if form == "shared":
        pieces = [patch_site(W[i : i + 37], factors, 0) for i in range(0, 700, 37)]
        assert np.concatenate(pieces).tobytes() == whole.tobytes()
        rows = [patch_site(row[None], factors, 0) for row in W[:20]]
        assert np.concatenate(rows).tobytes() == whole[:20].tobytes()


def test_products_are_summed_in_ascending_order() -> None:
    A, B = np.random.default_rng(1).normal(size=(3, 50)), np.random.default_rng(2).normal(size=(50, 4))
    expected = np.zeros((3, 4))
    for i, j, k in np.ndindex(3, 4, 50):
        expected[i, j] += A[i, k] * B[k, j]
    assert product(A, B).tobytes() == expected.tobytes()
