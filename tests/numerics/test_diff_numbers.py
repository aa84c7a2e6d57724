"""What `editc diff` counts with: packed bits, the least rank that holds, and ulps."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_files import KEYS, contents, delta_for, pipeline, refused

from editc.formats.apply.apply import apply, plan_apply
from editc.formats.delta.container import from_bytes, to_bytes
from editc.numerics.bits import dtypes, planes
from editc.numerics.recover import least_rank, ulp


def test_damaged_bits_write_nothing(tmp_path: Path) -> None:
    """Forged by a writer that gives them a sound hash: a stream that holds more than the tensor, less, or rubbish."""
    model = pipeline(tmp_path / "m")
    good = delta_for(model, "xor", names=KEYS[:1])
    size = 4 * 6 * 4
    for body in (
        zlib.compress(bytes(90 * size)),
        zlib.compress(bytes(size - 1)),
        zlib.compress(bytes(size)) + b"1",
        b"xyz",
    ):
        change = np.frombuffer(b"\1" + body, np.uint8)
        factors = {"text": replace(good.factors["text"], bits=(change,))}
        forged = from_bytes(to_bytes(replace(good, factors=factors, delta_id="")))
        before = contents(tmp_path / "m")
        with refused("E607"):
            apply(plan_apply([forged], model), out=tmp_path / "out")
        assert contents(tmp_path / "m") == before and not (tmp_path / "out").exists()


@given(st.binary(min_size=8, max_size=400), st.sampled_from([1, 2, 4, 8]), st.randoms(use_true_random=False))
def test_bits_turn_one_into_the_other(base: bytes, item: int, random: Any) -> None:
    base = base[: len(base) // 8 * 8]
    result = bytes(byte if random.random() < 0.9 else random.randrange(256) for byte in base)
    change = planes.pack(base, result, item)
    assert planes.unpack(base, change, item) == result
    assert planes.could_unpack_to(change, len(base)) and len(change) <= len(base) + 1


@given(st.binary(max_size=60), st.integers(1, 12))
def test_random_bits_never_give_more_than_the_tensor(data: bytes, size: int) -> None:
    try:
        assert len(planes.unpack(bytes(4 * size), np.frombuffer(data, np.uint8), 4)) == 4 * size
    except ValueError:
        return


@pytest.mark.parametrize(("start", "holds"), [(1, 5), (5, 5), (4, 9), (1, 1), (3, 20)])
def test_the_least_rank_is_found(start: int, holds: int) -> None:
    asked: list[int] = []

    def explains(rank: int) -> bool:
        asked.append(rank)
        return rank >= holds

    assert least_rank(explains, start, 12) == (holds if holds <= 12 else None)
    assert max(asked) <= 12 and len(asked) < 9


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
def test_an_ulp_is_the_distance_to_the_next_number(dtype: str) -> None:
    values = dtypes.round_to(np.concatenate([np.random.default_rng(0).normal(size=200), [0.0, 1e-7, 1.0, -2.0]]), dtype)
    width = dtypes.BITS[dtype] // 8
    raw = np.frombuffer(dtypes.encode(np.abs(values), dtype), f"<u{width}") + np.array(1, f"<u{width}")
    after = dtypes.decode(raw.astype(f"<u{width}").tobytes(), dtype, values.shape)
    np.testing.assert_array_equal(ulp(values, dtype), after - np.abs(values))
